"""From a config to a runner that is ready to train."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, MODELS, TRANSFORMS, Registry
from mmengine.runner import Priority, get_priority, set_random_seed
from torch.utils.data import DataLoader

from pretrain.data import (
    ClassBalancedSampler,
    EpochSampler,
    ViewDataset,
    describe_source,
    limit_threads,
)
from pretrain.data.sources import NO_LABEL
from pretrain.engine import checkpoints
from pretrain.engine.check import (
    Settings,
    check_config,
    check_sizes,
    check_twins,
    check_upright,
    check_wiring,
)
from pretrain.engine.config import PretrainConfig
from pretrain.engine.distributed import current_device, from_first_rank, open_group
from pretrain.engine.hooks.nonfinite import NonFiniteHook
from pretrain.engine.hooks.preemption import PreemptionHook, ignore_in_worker
from pretrain.engine.hooks.progress import ProgressHook
from pretrain.engine.hooks.saving import SaveHook
from pretrain.engine.hooks.skipped_files import SkippedFilesHook
from pretrain.engine.model import TrainedModel, check_hooks
from pretrain.engine.optim import build_optimizer
from pretrain.engine.resumption import Resumption, RunLock
from pretrain.engine.runner import PretrainRunner
from pretrain.engine.schedule import Schedule, make_schedule, micro_batch
from pretrain.engine.settings import ConfigError
from pretrain.engine.start_weights import StartReport, begin
from pretrain.memory import keep_freed_memory
from pretrain.random_state import undisturbed_random
from pretrain.structures import collate


@dataclass(frozen=True)
class _Prepared:
    """A run of which everything is built and checked but the runner."""

    cfg: PretrainConfig
    settings: Settings
    model: TrainedModel
    schedule: Schedule
    loader: DataLoader
    hooks: list[Hook]
    checkpoint: Path | None
    start: StartReport | None


def build_runner(
    cfg: Config, resume: bool | str | Path = False, launcher: str = "auto"
) -> PretrainRunner:
    """Checks a config and builds everything; ``.train()`` on the result trains.

    Args:
        cfg: see ``pretrain.engine.check`` for its keys. Not changed.
        resume: False: start anew, in a folder without checkpoints. True or ``auto``: continue from
            the newest checkpoint in ``work_dir`` if there is one. A path: continue from that
            checkpoint.
        launcher: ``auto``, ``none``, ``pytorch`` or ``slurm``.

    Raises:
        ConfigError: any mistake in the config, see :func:`pretrain.engine.check.check_config`;
            parts that do not fit together; start weights that do not fill the model; a
            ``work_dir`` that cannot be written, that holds another run or in which another process
            trains.
    """
    cfg = _with_defaults(cfg)
    settings = check_config(cfg)
    if settings.engine.deterministic:
        # torch's deterministic mode, which mmengine switches on, fails in every matrix product on
        # CUDA without this.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    launcher = open_group(launcher)
    if current_device().type == "cpu":
        keep_freed_memory()
    lock = RunLock(cfg.work_dir)
    try:
        lock.take_if_there()
        ready = _prepare(cfg, settings, resume, processes=get_world_size())
        lock.take(expected=ready.checkpoint is not None)
        return PretrainRunner(
            cfg,
            ready.model,
            settings.engine,
            schedule=ready.schedule,
            accumulate=settings.schedule.accumulate,
            dataloader=ready.loader,
            launcher=launcher,
            resume=ready.checkpoint,
            origin=checkpoints.origin(resume),
            start=ready.start,
            hooks=[*_own_hooks(settings), *ready.hooks],
            lock=lock,
        )
    except BaseException:
        lock.release()
        raise


def check(cfg: Config, resume: bool | str | Path = False) -> str:
    """Checks a config, its data and its ``work_dir`` by the very steps of :func:`build_runner`;
    writes nothing.

    Returns:
        A line with images, steps, peak learning rate and where the run would start; then what the
        source holds, see :func:`pretrain.data.describe_source`.

    Raises:
        ConfigError: as :func:`build_runner`.
    """
    cfg = _with_defaults(cfg)
    settings = check_config(cfg)
    lock = RunLock(cfg.work_dir)
    lock.take_if_there()
    lock.release()
    planned = int(
        os.environ.get("PIXELPRETEXT_PROCESSES") or get_world_size()
    )  # set by tools/launching.sh
    ready = _prepare(cfg, settings, resume, processes=planned)
    schedule, images = ready.schedule, len(ready.loader.dataset)
    start = (
        ready.checkpoint
        or (ready.start and f"the weights of {ready.start.source} ({ready.start.licence})")
        or "the beginning"
    )
    length = f"{schedule.steps} steps of {schedule.global_batch}"
    contents = describe_source(ready.loader.dataset.source)
    return f"{images} images, {length}, peak lr {schedule.peak:g}, from {start}\n{contents}"


def _prepare(
    cfg: PretrainConfig, settings: Settings, resume: bool | str | Path, *, processes: int
) -> _Prepared:
    """Builds and checks all that a run of so many processes needs; both the run and ``--check`` go
    this way.

    Writes nothing. Global random generators are seeded on the way.
    """
    source, recipe = _build("source", DATASETS, cfg.source), _build("views", TRANSFORMS, cfg.views)
    schedule = make_schedule(settings.schedule, len(source))
    micro = micro_batch(settings.schedule, processes)
    # Rank 0 looks for all: on a network file system the others may see a folder's older state.
    place = Resumption(cfg, resume)
    checkpoint = from_first_rank(place.find)
    sampler = _sampler(source, settings, cfg.seed, processes=processes)
    loader = _loader(source, recipe, settings, micro=micro, sampler=sampler, seed=cfg.seed)
    set_random_seed(cfg.seed)  # before the model draws its first weights
    model = _build("model", MODELS, cfg.model)
    groups = {name: len(views) for name, views in recipe.specs.items()}
    classes = None if source.classes is None else len(source.classes)
    reason = getattr(source, "unlabelled", "")
    labelled = _labelled(source)
    check_wiring(model.objectives, groups, labelled=labelled, classes=classes, reason=reason)
    check_twins(model.objectives, recipe.specs)
    check_upright(model.objectives, recipe.specs)
    check_sizes(model, recipe.specs)
    _require_labels(model, source)
    start = None
    with undisturbed_random():  # what follows must not shift what the run draws
        hooks = [_build_hook(f"hooks[{i}]", h) for i, h in enumerate(cfg.get("hooks") or [])]
        check_hooks(hooks, model)
        if checkpoint is None or model.remakes_start:
            start = begin(model, cfg)
        try:
            optimizer = build_optimizer(model, cfg.optimizer.to_dict(), schedule.lr(0))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"optimizer: {error}") from error
        _require_backbone_in_time(cfg, schedule)
        from_first_rank(lambda: place.require_fit(model, optimizer))
    return _Prepared(cfg, settings, model, schedule, loader, hooks, checkpoint, start)


def _require_backbone_in_time(cfg: Config, schedule: Schedule) -> None:
    """Raises a :class:`ConfigError` if heads are trained first, and the run is over by then."""
    waits = cfg.optimizer.get("heads_first") or 0
    if waits * schedule.per_epoch >= schedule.steps:
        raise ConfigError(
            f"optimizer.heads_first={waits}: the run is {schedule.steps / schedule.per_epoch:g} "
            "epochs long, so the backbone would not be trained; shorten it or train longer"
        )


def _build_hook(place: str, config: dict[str, Any]) -> Hook:
    """Builds a hook; its ``priority`` is no argument of its class."""
    config = dict(config)
    priority = config.pop("priority", None)
    hook = _build(place, HOOKS, Config(config))
    if priority is not None:
        hook.priority = priority
    try:
        get_priority(hook.priority)
    except (KeyError, ValueError, TypeError) as error:
        legal = ", ".join(Priority.__members__)
        raise ConfigError(
            f"{place}.priority={hook.priority!r}: must be 0 to 100 or one of {legal}"
        ) from error
    return hook


def _build(section: str, registry: Registry, config: Config) -> Any:
    """Builds a section's object; what its constructor refuses becomes a :class:`ConfigError`."""
    try:
        return registry.build(config.to_dict())
    except MemoryError as error:
        raise ConfigError(f"{section}: does not fit into memory {error}".strip()) from error
    except (ValueError, TypeError, KeyError, AssertionError, OSError) as error:
        reason = str(error) or f"{config.to_dict()} raises {type(error).__name__} without a message"
        raise ConfigError(f"{section}: {reason}") from error


def _require_labels(model: TrainedModel, source: Any) -> None:
    """Raises a :class:`ConfigError` if a labelled objective would learn from a source of which no
    image has a label.
    """
    needing = [type(each).__name__ for each in model.objectives if each.needs.labels]
    if not needing or any(
        np.any(np.not_equal(source.label(index), NO_LABEL)) for index in range(len(source))
    ):
        return
    raise ConfigError(
        f"objective {needing[0]} needs labels, but not one of the {len(source)} images of the "
        f"source has a label (all are {NO_LABEL}); check that the annotations belong to these "
        "images"
    )


def _labelled(source: Any) -> bool:
    """Tells whether the source's images carry labels; it labels all or none."""
    return source.label(0) is not None


def _with_defaults(cfg: Config) -> PretrainConfig:
    """Returns a copy without helper variables, with the defaults that a config may leave out."""
    values = {key: value for key, value in cfg.to_dict().items() if not key.startswith("_")}
    values.setdefault("seed", 0)
    values.setdefault("vis_backends", [dict(type="TensorboardVisBackend")])
    if not values.get("work_dir"):
        values["work_dir"] = str(
            Path("work_dirs") / (Path(cfg.filename).stem if cfg.filename else "run")
        )
    return PretrainConfig(values, filename=cfg.filename)


def _own_hooks(settings: Settings) -> list[Any]:
    """Returns the hooks every run has; mmengine orders them by their priorities."""
    engine = settings.engine
    return [
        NonFiniteHook(),
        SkippedFilesHook(settings.loader.max_bad_fraction, interval=engine.log_every),
        ProgressHook(engine.log_every),
        SaveHook(engine.checkpoint_every, engine.keep_checkpoints),
        PreemptionHook(),
    ]


def _loader(
    source: Any, recipe: Any, settings: Settings, *, micro: int, sampler: EpochSampler, seed: int
) -> DataLoader:
    """Returns the endless loader of micro-batches of ``micro`` images for this process."""
    loader = settings.loader
    return DataLoader(
        ViewDataset(source, recipe, seed=seed, photometrics=loader.photometrics),
        batch_size=micro,
        sampler=sampler,
        num_workers=loader.workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        prefetch_factor=loader.prefetch if loader.workers else None,
        # Its own generator: a loader that starts draws one number, which must not shift the
        # model's.
        generator=torch.Generator().manual_seed(seed),
    )


def _sampler(source: Any, settings: Settings, seed: int, *, processes: int) -> EpochSampler:
    """Returns this process's sampler.

    Raises:
        ConfigError: the setting ``loader.images_per_class`` does not fit the source or the batch.
    """
    layout = dict(rank=get_rank(), world=processes, seed=seed)
    batch, per_class = settings.schedule.global_batch, settings.loader.images_per_class
    if per_class is None:
        return EpochSampler(len(source), batch, **layout)
    if not _labelled(source):
        raise ConfigError(
            f"loader.images_per_class={per_class}: needs a source with labels; legal without is "
            "None"
        )
    labels = np.array([source.label(index) for index in range(len(source))])
    if labels.ndim != 1:
        raise ConfigError(
            f"loader.images_per_class={per_class}: needs one class per image, the source gives "
            "several"
        )
    try:
        return ClassBalancedSampler(labels, batch, images_per_class=per_class, **layout)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _start_worker(worker: int) -> None:
    """Prepares a loading process: one thread, and a signal to the whole job does not end it before
    the training.
    """
    limit_threads(worker)
    ignore_in_worker(worker)
