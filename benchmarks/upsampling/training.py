"""What ``pixelpretext train-upsampler`` does: from a backbone to a run of the engine."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.upsamplers import kinds
from benchmarks.weights.checkpoint import Checkpoint, write_backbone
from pretrain.engine import cli
from pretrain.engine.build import check
from pretrain.engine.config_file import override, read_config, read_options, require_honoured
from pretrain.engine.settings import ConfigError
from pretrain.files import require_writable
from pretrain.names import check_choice

BACKBONE = "backbone.pth"  # the frozen weights, in a run's folder
BASELINE = "bilinear"  # has nothing to train but what the consistency loss has beside it


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext train-upsampler`` is asked for.

    Attributes:
        backbone: spec of :meth:`FeatureExtractor.load`. data: folder of images.
        upsampler: a kind of those that are trained, or ``bilinear``; None: the objective's own.
        objective: ``consistency`` or ``regression``.
        size: side of the training crops in pixels. samples: images shown in all; None: the
            config's.
        work_dir: None: a folder named by kind and seed. cfg_options: ``KEY=VALUE`` of the config.
        resume, launcher, check: as in :class:`pretrain.engine.cli.Options`.
    """

    backbone: str
    data: str
    upsampler: str | None = None
    objective: str = "consistency"
    size: int = 224
    samples: int | None = None
    seed: int = 0
    work_dir: str | None = None
    resume: str | bool = False
    cfg_options: Sequence[str] = ()
    launcher: str = "auto"
    check: bool = False


def train(options: Options) -> None:
    """Trains an upsampler, or only checks.

    Raises:
        ValueError, OSError: a mistake in the options or the data.
    """
    if options.work_dir is not None:
        require_writable(options.work_dir, "--work-dir", folder=True)
    cfg, extractor = make_config(options)
    backbone = Path(cfg.load_from)
    if not holds_backbone(extractor, backbone):
        unwritten = copy.deepcopy(cfg)
        unwritten.pop("load_from")
        if options.check:
            cli.run(unwritten, check_only=True, resume=options.resume, launcher=options.launcher)
            return
        check(unwritten, resume=options.resume)  # a run that cannot begin leaves no backbone behind
        write_backbone(backbone, extractor.backbone, spec=extractor.spec)
    cli.run(cfg, check_only=options.check, resume=options.resume, launcher=options.launcher)


def require_trainable(options: Options) -> None:
    """Builds and checks all that a training needs, as its beginning does; writes nothing.

    Raises:
        ValueError, OSError: a mistake in the options or the data.
    """
    cfg, _ = make_config(options)
    cfg.pop("load_from")
    check(cfg, resume=options.resume)


def make_config(options: Options) -> tuple[Config, FeatureExtractor]:
    """Returns the config of a run, whose ``load_from`` is where the backbone's weights belong, and
    the backbone.

    Args:
        options: of the command line.

    Raises:
        ValueError: an unknown backbone, a size that is not whole cells, nothing to train, an
            override that would not count.
        FileNotFoundError: no such checkpoint.
    """
    cfg = read_config(f"upsamplers/{options.objective}")
    if options.upsampler == BASELINE and options.objective == "regression":
        raise ConfigError(
            f"--upsampler {BASELINE} --objective regression: nothing to train; take consistency"
        )
    trainable = kinds("", "trained")  # imports their classes, so that the registry knows them
    if options.upsampler is not None:
        check_choice("--upsampler", options.upsampler, (*kinds("trained"), BASELINE))
        cls = trainable[options.upsampler]
        cfg.model.upsampler = dict(type=cls.__name__, **cls.kinds()[options.upsampler])
    kind = MODELS.get(cfg.model.upsampler.type).kind
    cfg.work_dir = options.work_dir or f"work_dirs/upsamplers/{kind}_{options.seed}"
    cfg.seed = options.seed
    extractor = FeatureExtractor.load(options.backbone)
    stride = extractor.map_stride
    if options.size % stride:
        raise ConfigError(
            f"--size {options.size}: must be a multiple of the backbone's stride {stride}"
        )
    cfg.merge_from_dict(_of_arguments(options, extractor, consistency="pad" in cfg.model.objective))
    override(cfg, read_options(options.cfg_options))
    cfg.load_from = str(Path(cfg.work_dir) / BACKBONE)
    instead = {"load_from": "the backbone given is what it starts from"}
    require_honoured(cfg, read_options(options.cfg_options), instead=instead)
    return cfg, extractor


def _of_arguments(
    options: Options, extractor: FeatureExtractor, *, consistency: bool
) -> dict[str, Any]:
    """The settings that follow from backbone and arguments, by dotted key."""
    # A timm network's own weights come from the folder as well: nothing is fetched when the run is
    # repeated.
    settings: dict[str, Any] = {
        "model.backbone": extractor.backbone.architecture,
        "model.map_stride": extractor.map_stride,
        "model.data_preprocessor": dict(
            type="ViewPreprocessor", mean=list(extractor.mean), std=list(extractor.std)
        ),
        "source": dict(type="ImageFolder", root=options.data, labels=False),
        "views.groups.global.0.size": options.size,
    }
    if consistency:  # the config's pad belongs to 224 px
        settings["model.objective.pad"] = max(1, round(options.size * 20 / 224))
    if options.samples is not None:
        settings["schedule.samples"] = options.samples
    return settings


def holds_backbone(extractor: FeatureExtractor, path: Path) -> bool:
    """Tells whether a run's folder has the backbone's weights already.

    Raises:
        ConfigError: the file is there and holds another backbone.
    """
    if not path.is_file():
        return False
    meta = Checkpoint.read(path).meta
    if meta["fingerprint"] != extractor.fingerprint:
        raise ConfigError(
            f"--work-dir {path.parent}: holds an upsampler of another backbone "
            f"({meta['spec']}); choose another"
        )
    return True
