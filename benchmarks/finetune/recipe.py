"""A recipe fitted to a network and to data: the engine's config, what it starts from, and its
protocol.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.core.subject import identity
from benchmarks.data.class_folder import ClassFolder
from benchmarks.finetune import model, trajectory, views  # noqa: F401 — configs name classes
from benchmarks.finetune.labels import Labels, choose_labels
from benchmarks.finetune.settings import Settings
from benchmarks.weights.checkpoint import Checkpoint, write_backbone
from pretrain.engine.check import check_config
from pretrain.engine.config_file import override, read_config, require_honoured
from pretrain.engine.hooks.saving import FINAL
from pretrain.engine.schedule import make_schedule, micro_batch
from pretrain.engine.settings import ConfigError
from pretrain.specs import parse_spec

NAME = "finetune"
#: Sections that decide the result, and what of them belongs to network, data or machine instead.
_RECIPE = ("model", "views", "schedule", "optimizer", "engine", "loader", "hooks")
_NOT_RECIPE = {
    "model": ("backbone", "classes", "data_preprocessor"),
    "engine": (
        "checkpoint_every",
        "keep_checkpoints",
        "log_every",
        "compile",
        "channels_last",
        "deterministic",
    ),
    "loader": ("workers", "prefetch", "max_bad_fraction"),
}


#: What a fine-tuning sets itself, and what says it instead.
_INSTEAD = {
    "model.data_preprocessor": "images are normalised as in the network's pretraining",
    "model.inputs.seed": "give --seeds",
    "model.classes": "classes are the folders of --data",
    "source": "images are those of --data, or of --labels",
    "seed": "give --seeds",
    "work_dir": "give --work-dir",
    "load_from": "the network given is what it starts from",
}


@dataclass(frozen=True)
class Fitted:
    """A fine-tuning that could start.

    Attributes:
        cfg: of the run, for the engine. labels: the labelled images. protocol, subject: of its
            record.
        initial: the file that ``load_from`` names; :meth:`write` makes it and the list of labelled
            images.
    """

    cfg: Config
    labels: Labels
    protocol: dict[str, Any]
    subject: dict[str, Any]
    initial: Path
    extractor: FeatureExtractor

    @property
    def work_dir(self) -> Path:
        """Where checkpoints and logs of the run are."""
        return Path(self.cfg.work_dir)

    @property
    def final(self) -> Path:
        """The fine-tuned network, once the run is over."""
        return self.work_dir / FINAL

    def write(self) -> None:
        """Writes what the run reads at its start, where it is missing."""
        self.labels.write(self.work_dir.parent)
        if self.initial.is_file():
            written = Checkpoint.read(self.initial).meta["fingerprint"]
            if written == self.extractor.fingerprint:
                return
        write_backbone(self.initial, self.extractor.backbone, spec=self.extractor.spec)


def fit(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    hooks: Sequence[dict[str, Any]] = (),
) -> Fitted:
    """Fits the recipe to network and data and checks it; trains nothing and writes nothing.

    Args:
        extractor: the network to start from.
        data: class folders.
        settings: with ``work_dir`` set.
        hooks: registry dicts of what watches the run beside the recipe's own hooks; they count as
            part of the recipe.

    Raises:
        ConfigError, ValueError: a mistake in recipe, labels or data, as the engine would find it.
        FileNotFoundError: no such list of labels.
    """
    cfg = read_config(settings.path)
    if settings.options:
        _refuse_backbone(settings.options)
        override(cfg, settings.options)
    if hooks:
        cfg.hooks = [*cfg.get("hooks", []), *hooks]
    labels = choose_labels(
        data, fraction=settings.fraction, seed=settings.fraction_seed, file=settings.labels
    )
    cfg.merge_from_dict(
        {
            "model.backbone": network_config(extractor),
            "model.classes": list(data.class_names),
            "model.data_preprocessor": dict(
                type="ViewPreprocessor", mean=list(extractor.mean), std=list(extractor.std)
            ),
            "seed": settings.tuning_seed,
        }
    )
    if isinstance(cfg.model.get("inputs"), Mapping):
        cfg.merge_from_dict({"model.inputs.seed": settings.tuning_seed})
    protocol = _protocol(cfg, data, labels)
    subject = extractor.describe() | dict(tuning_seed=settings.tuning_seed)
    folder = (
        Path(settings.work_dir) / f"{settings.path.stem}_{Record(NAME, {}, protocol).protocol_hash}"
    )
    initial = folder / "initial" / f"{subject['fingerprint']}.pth"
    cfg.merge_from_dict(
        {
            "source": dict(
                type="FileList",
                path=str(folder / f"labels_{labels.fingerprint}.txt"),
                root=str(data.root),
            ),
            "work_dir": str(
                folder / f"{_slug(extractor.spec)}_{identity(subject)}_{settings.tuning_seed}"
            ),
            "load_from": str(initial),
        }
    )
    require_honoured(cfg, settings.options or {}, instead=_INSTEAD)
    _check(cfg, len(labels.names))
    return Fitted(cfg, labels, protocol, subject, initial, extractor)


def _refuse_backbone(options: Mapping[str, Any]) -> None:
    """The record describes the network by its spec, which would not tell an option set here."""
    named = [key for key in options if key == "model.backbone" or key.startswith("model.backbone.")]
    whole = options.get("model")
    named += ["model.backbone"] if isinstance(whole, Mapping) and "backbone" in whole else []
    if named:
        raise ConfigError(
            f"--cfg-options {named[0]}: the network is the one given, with options in its spec: "
            "CHECKPOINT?key=value (no record would show this override)"
        )


def network_config(extractor: FeatureExtractor) -> dict[str, Any]:
    """Returns the registry dict of the extractor's network, its weights left out.

    A fixed sine-cosine table stays fixed; a patch embedding that pretraining kept as it was drawn
    is trained now.
    """
    config = extractor.backbone.architecture
    if config["type"] == "SinCosViT":
        config["freeze_patches"] = False
    return config


def recipe_hash(cfg: Config) -> str:
    """Twelve hex digits over everything in a config that decides the result beside network, data
    and seed.
    """
    values = {name: value for name, value in cfg.to_dict().items() if name in _RECIPE}
    for name, keys in _NOT_RECIPE.items():
        values[name] = _without(values.get(name, {}), keys)
    if isinstance(values["model"].get("inputs"), Mapping):
        values["model"]["inputs"] = _without(values["model"]["inputs"], ("seed",))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def _without(section: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


def _protocol(cfg: Config, data: ClassFolder, labels: Labels) -> dict[str, Any]:
    """What of recipe and data belongs to the protocol; what the hash covers is told again where
    readers look for it.
    """
    schedule, network = cfg.schedule, cfg.model
    shown = dict(
        epochs=schedule.get("epochs"),
        samples=schedule.get("samples"),
        global_batch=schedule.get("global_batch"),
        lr_per_256=schedule.get("lr_per_256"),
        lr=schedule.get("lr"),
        layer_decay=cfg.optimizer.get("layer_decay"),
        optimizer=cfg.optimizer.get("type"),
        pooling=network.get("pooling", "mean"),
    )
    test = dict(
        size=network.get("size", 224),
        crop_fraction=network.get("crop_fraction", 0.95),
        resize="bicubic",
    )
    given = {name: value for name, value in shown.items() if value is not None}
    return dict(
        data=data.protocol, labels=labels.protocol, recipe=recipe_hash(cfg), test=test, **given
    )


def _check(cfg: Config, images: int) -> None:
    """Raises a ConfigError for what the engine, or mixup, would stop at once the run is built."""
    checked = check_config(cfg)
    make_schedule(checked.schedule, images)
    per_pass = micro_batch(checked.schedule, get_world_size())
    mixed = cfg.model.get("mixup", 0.8) or cfg.model.get("cutmix", 1.0)
    if mixed and per_pass % 2:
        raise ConfigError(
            f"schedule.global_batch={cfg.schedule.global_batch}: {per_pass} images per process "
            "and pass; mixup and cutmix pair images, so it must be even (or set model.mixup=0 "
            "model.cutmix=0)"
        )


def _slug(spec: str) -> str:
    """Returns a short name for folders: a file's folder, or the name of a network."""
    source, _ = parse_spec(spec)
    path = Path(source)
    name = (path.parent.name or path.stem) if path.suffix == ".pth" else source
    return re.sub(r"[^\w.-]+", "_", name)[:60]
