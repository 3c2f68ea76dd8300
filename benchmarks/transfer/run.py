"""The benchmark: fine-tune a pretrained network by a recipe, evaluate it once, record."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process

from benchmarks.core.benchmark import Benchmark, Result, in_subject, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record, require_defined, versions
from benchmarks.core.subject import identity
from benchmarks.data.transfer_folder import TransferFolder
from benchmarks.export.plain import plain_resnet
from benchmarks.export.source import Network, NoCounterpart
from benchmarks.mm import libraries
from benchmarks.transfer.parts import pretrained_parts
from benchmarks.transfer.weights import Placement, place
from pretrain.engine.config_file import require_honoured
from pretrain.engine.distributed import broadcast, from_first_rank
from pretrain.engine.resumption import RunLock
from pretrain.files import atomic_write
from pretrain.places import find_config

# Names of the libraries' metrics -> ours; fractions become percent.
_SEGMENTATION = {"exact_mIoU": ("mIoU", 1), "exact_aAcc": ("pixel_accuracy", 1)}
_DETECTION = {
    "coco/bbox_mAP": ("box_AP", 100),
    "coco/bbox_mAP_50": ("box_AP50", 100),
    "coco/bbox_mAP_75": ("box_AP75", 100),
    "coco/segm_mAP": ("mask_AP", 100),
    "coco/segm_mAP_50": ("mask_AP50", 100),
    "coco/segm_mAP_75": ("mask_AP75", 100),
    "pascal_voc/mAP": ("box_AP", 100),
    "pascal_voc/AP50": ("box_AP50", 100),
    "pascal_voc/AP75": ("box_AP75", 100),
}
# of what this package does around the recipe; to be raised when a change of it may change numbers
PROCEDURE = 1
METRICS = (
    "mIoU",
    "pixel_accuracy",
    "box_AP",
    "box_AP50",
    "box_AP75",
    "mask_AP",
    "mask_AP50",
    "mask_AP75",
)


# What a transfer sets itself, and what says it instead.
_INSTEAD = {
    "train_dataloader.batch_size": "give transfer.batch, images per step over all processes",
    "model.data_preprocessor": "images are normalised as in the network's pretraining",
    "randomness": "give --seeds",
    "work_dir": "give --work-dir",
    "load_from": "the network given is what it starts from",
    "resume": "an interrupted run continues automatically",
    "launcher": "give --launcher",
}


@dataclass(frozen=True)
class Settings:
    """What to fine-tune by."""

    recipe: str = ""  # path or name of a config with a section `transfer`
    tuning_seed: int = in_subject(0)  # of new heads, order, augmentation
    options: dict[str, Any] = field(default_factory=dict)  # overrides of the recipe, dotted keys
    # logs and checkpoints; a run that was cut off goes on from there
    work_dir: str = speed_only("work_dirs/transfer")

    def __post_init__(self) -> None:
        try:
            find_config(self.recipe, folder="transfer")
        except FileNotFoundError as error:
            raise ValueError(f"recipe: {error}") from None


def run(
    extractor: FeatureExtractor, data: TransferFolder, settings: Settings, *, progress: Any = None
) -> Result:
    """Fine-tunes and evaluates: the metrics of :data:`METRICS` that the recipe measures, in
    percent, counts per class and scored image. Under torchrun all processes take part and get the
    result.

    A run that finished before is read, one that was cut off goes on. Cost: that of the recipe; a
    copy of the backbone.

    Raises:
        ValueError: libraries missing; a recipe, network and data that do not fit; another process
            works on this very run; before any training.
        FileNotFoundError: recipe or data are not there.
    """
    libraries.require()
    fitted = fit(extractor, data, settings)
    lock = RunLock(fitted.work_dir)
    lock.take(expected=True)
    try:
        return _run(extractor, fitted, data=data, settings=settings, progress=progress)
    finally:
        lock.release()


def _run(
    extractor: FeatureExtractor,
    fitted: Fitted,
    *,
    data: TransferFolder,
    settings: Settings,
    progress: Any,
) -> Result:
    """Trains and evaluates what is missing of a fitted run, whose folder this launch alone works
    in.
    """
    from benchmarks.transfer import trial

    finished = fitted.work_dir / "record.json"
    known = broadcast(finished.read_text() if is_main_process() and finished.is_file() else None)
    if known is not None:
        return _result_of(Record.from_json(known))
    look_at_labels(fitted, data, progress)
    started = time.perf_counter()
    placed = place_weights(extractor, fitted)
    config = trial.prepare(
        fitted.config, seed=settings.tuning_seed, work_dir=fitted.work_dir, name=fitted.key
    )
    trial.write_initial(placed, fitted.work_dir, extractor.spec)
    measured, counts = trial.train_and_test(config, progress)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = time.perf_counter() - started
    result = Result(
        named_metrics(measured),
        counts | _per_class(measured),
        dict(seconds=seconds),
        facts=fitted.protocol,
        subject=extractor.describe()
        | dict(tuning_seed=settings.tuning_seed, placed=str(placed), norm=fitted.norm),
        versions=versions(device) | libraries.versions(),
    )
    if is_main_process():
        record = BENCHMARK.record(
            result, data, settings, subject={}, device=torch.device(device), seconds=seconds
        )
        atomic_write(finished, record.to_json() + "\n")
        trial.keep_last(fitted.work_dir)
    # The first process's has the counts, and nobody goes on before it is written.
    return broadcast(result)


def _result_of(record: Record) -> Result:
    """The result of a run that is finished: its record, made again, is the one that was stored."""
    return Result(
        record.metrics,
        record.counts,
        record.cost,
        facts=record.protocol,
        subject=record.subject,
        versions=record.versions,
    )


def look_at_labels(fitted: Fitted, data: TransferFolder, progress: Any = None) -> tuple[str, ...]:
    """Checks all labels of the recipe's data once per process group and folder. Collective.

    Returns:
        Notes that are no mistakes, such as classes that never occur.

    Raises:
        ValueError, OSError: see :func:`benchmarks.transfer.labels.check_labels`; in all processes.
    """
    from benchmarks.transfer.labels import check_labels

    key = f"{fitted.protocol['settings']} {fitted.protocol['labels']}"
    if key not in data.checked:
        data.checked[key] = from_first_rank(lambda: check_labels(fitted.config, progress))
    return data.checked[key]


def place_weights(extractor: FeatureExtractor, fitted: Fitted) -> Placement:
    """Builds the recipe's model once and finds the place of every pretrained weight in it; writes
    nothing.

    Raises:
        ValueError: the model does not build, part of its backbone would stay random, or weights are
            left over.
    """
    from benchmarks.transfer import trial

    source = {key: value.detach().cpu() for key, value in extractor.backbone.state_dict().items()}
    model = trial.build_model(fitted.config)
    placed = place(source, model, native=fitted.section.backbone == "native", spec=extractor.spec)
    if extractor.pyramid:
        placed.add(pretrained_parts(extractor.pyramid, model.state_dict()))
    return placed


@dataclass(frozen=True)
class Fitted:
    """A recipe fitted to network, data and machine.

    Attributes:
        key: name of this run, from everything the result depends on.
    """

    config: Any
    section: Any
    protocol: dict[str, Any]
    norm: str
    key: str
    work_dir: Path


def fit(
    extractor: FeatureExtractor,
    data: TransferFolder,
    settings: Settings,
    *,
    processes: int | None = None,
) -> Fitted:
    """Fits a recipe and says what its numbers will depend on; trains nothing.

    Args:
        extractor: the pretrained network.
        data: the data folder.
        settings: the recipe and its overrides.
        processes: how many will share the batch; None = those of this process's group.

    Raises:
        ValueError, FileNotFoundError: as :func:`run`.
    """
    from benchmarks.transfer import recipe, trial

    config, section = recipe.read_recipe(settings.recipe, settings.options)
    asked = recipe.options_there(settings.options, config, data.root)
    recipe.place_data(config, data.root)
    if section.classes:
        recipe.place_classes(config)
    protocol = dict(
        procedure=PROCEDURE,
        recipe=Path(settings.recipe).stem,
        settings=recipe.recipe_hash(config),
        data=Path(config.data_root).name,
        labels=recipe.data_fingerprint(config),
        task=section.task,
        batch=section.batch,
        options=settings.options,
        iterations=config.train_cfg.get("max_iters", config.train_cfg.get("max_epochs")),
    )
    if section.allow_shared:
        protocol["allow_shared"] = True
    if section.backbone == "native":
        _require_resnet(extractor, config.model.backbone.get("depth"))
    recipe.place_backbone(config, section, extractor.backbone.config)
    _place_normalisation(config, extractor)
    norm = recipe.place_machine(
        config, section, processes=processes or get_world_size(), cuda=torch.cuda.is_available()
    )
    parts = [protocol, identity(extractor.describe()), settings.tuning_seed, norm]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:12]
    folder = Path(settings.work_dir) / protocol["recipe"] / key
    prepared = trial.prepare(
        copy.deepcopy(config), seed=settings.tuning_seed, work_dir=folder, name=key
    )
    require_honoured(prepared, asked, instead=_INSTEAD)
    return Fitted(config, section, protocol, norm, key, folder)


def _require_resnet(extractor: FeatureExtractor, depth: int | None) -> None:
    """Refuses what the library's own ResNet would compute otherwise: ResNets with attention or
    blurred strides have all the weights of a plain one, so that their keys tell nothing."""
    try:
        own_depth = plain_resnet(Network(extractor)).depth
    except NoCounterpart as error:
        own = "the recipe trains the library's own ResNet: take a recipe for this network"
        raise ValueError(f"{error}; {own}") from error
    if depth is not None and own_depth != depth:
        kind = f"a ResNet-{own_depth}" if own_depth else "another"
        raise ValueError(
            f"the recipe trains a ResNet-{depth}, {extractor.spec} is {kind}; take a checkpoint "
            "of that depth, or another recipe"
        )


def _place_normalisation(config: Any, extractor: FeatureExtractor) -> None:
    """Images are normalised as in pretraining; the libraries count in 0 to 255."""
    mean = [255 * value for value in extractor.mean]
    std = [255 * value for value in extractor.std]
    config.model.data_preprocessor.update(mean=mean, std=std, bgr_to_rgb=True)


def named_metrics(measured: dict[str, float]) -> dict[str, Metric]:
    """The libraries' metrics under our names, in percent.

    Raises:
        ValueError: one of them is not defined.
    """
    metrics = {}
    for theirs, (name, factor) in (_SEGMENTATION | _DETECTION).items():
        if theirs in measured:
            # COCO's own code says -1 where there is no object to be found.
            value = measured[theirs] * factor if measured[theirs] >= 0 else math.nan
            metrics[name] = Metric(value, "%", "higher")
    needed = (
        "the val part must hold labelled pixels or objects; check its masks or boxes, and the "
        "recipe's classes"
    )
    return require_defined("transfer", metrics, needed)


def _per_class(measured: dict[str, float]) -> dict[str, Any]:
    """AP of each class, as mmdet's metric lists it behind ``…_precision``; of masks where there are
    masks.
    """
    kind = "mask" if "coco/segm_mAP" in measured else "box"
    each = {
        name.split("/")[-1].removesuffix("_precision"): v
        for name, v in measured.items()
        if "_precision" in name
    }
    return {f"class_{kind}_AP": each} if each else {}


BENCHMARK = Benchmark(
    name="transfer",
    about="segmentation or detection by fine-tuning the whole network",
    settings=Settings,
    run=run,
    data=TransferFolder,
    metrics=METRICS,
    expected=lambda data, settings: None,  # the recipe decides
)
