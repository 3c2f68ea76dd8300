"""From a config to a runner that is ready to train."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, TRANSFORMS, Registry
from mmengine.runner import set_random_seed
from torch.utils.data import DataLoader

from pretrain.data import ClassBalancedSampler, EpochSampler, ViewDataset, limit_threads
from pretrain.engine import checkpoints
from pretrain.engine.check import Settings, check_config, check_wiring
from pretrain.engine.config import PretrainConfig, parse
from pretrain.engine.distributed import broadcast, current_device, open_group, world
from pretrain.engine.nonfinite import NonFiniteHook
from pretrain.engine.preemption import PreemptionHook, ignore_in_worker
from pretrain.engine.progress import ProgressHook
from pretrain.engine.runner import PretrainRunner
from pretrain.engine.saving import SaveHook
from pretrain.engine.schedule import make_schedule, micro_batch
from pretrain.engine.settings import ConfigError
from pretrain.hooks.skipped_files import SkippedFilesHook
from pretrain.memory import keep_freed_memory
from pretrain.structures import collate

#: Sections that decide what is computed; a run is only continued by itself with the same ones.
RECIPE = ("model", "source", "views", "schedule", "optimizer", "seed")


def build_runner(cfg: Config, resume: bool | str | Path = False, launcher: str = "auto") -> PretrainRunner:
    """Checks a config and builds everything; ``.train()`` on the result trains.

    Args:
        cfg: see ``pretrain.engine.check`` for its keys. Not changed.
        resume: False: start anew, in a folder without checkpoints. True or ``auto``: continue from the newest
            checkpoint in ``work_dir`` if there is one. A path: continue from that checkpoint.
        launcher: ``auto``, ``none``, ``pytorch`` or ``slurm``.

    Raises:
        ConfigError: any mistake in the config, see :func:`pretrain.engine.check.check_config`, or a ``work_dir`` that
            holds another run.
    """
    cfg = _with_defaults(cfg)
    settings = check_config(cfg)
    if settings.engine.deterministic:
        # torch's deterministic mode, which mmengine switches on, fails in every matrix product on CUDA without this.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    launcher = open_group(launcher)
    if current_device().type == "cpu":
        keep_freed_memory()
    source, recipe = _build("source", DATASETS, cfg.source), _build("views", TRANSFORMS, cfg.views)
    schedule = make_schedule(settings.schedule, len(source))
    micro = micro_batch(settings.schedule, world()[1])
    # Rank 0 looks for all: on a network file system the others may see a folder's older state.
    checkpoint = broadcast(_find_checkpoint(cfg, resume) if world()[0] == 0 else None)
    _require_weights(cfg, checkpoint)
    set_random_seed(cfg.seed)  # before the model draws its first weights
    model = _build("model", MODELS, cfg.model)
    groups = {name: len(views) for name, views in recipe.specs.items()}
    classes = None if source.classes is None else len(source.classes)
    check_wiring(model.objectives, groups, _labelled(source), classes)
    return PretrainRunner(
        cfg,
        model,
        settings.engine,
        schedule=schedule,
        accumulate=settings.schedule.accumulate,
        dataloader=_loader(source, recipe, settings, micro=micro, seed=cfg.seed),
        launcher=launcher,
        resume=checkpoint,
        origin=checkpoints.origin(resume),
        hooks=[*_own_hooks(settings), *(dict(h) for h in cfg.get("hooks") or [])],
    )


def check(cfg: Config, resume: bool | str | Path = False) -> str:
    """Checks a config, its source and its ``work_dir`` as :func:`build_runner` would, and builds no model.

    Returns:
        One line: images, steps, peak learning rate and where the run would start.

    Raises:
        ConfigError: as :func:`build_runner`.
    """
    cfg = _with_defaults(cfg)
    settings = check_config(cfg)
    source = _build("source", DATASETS, cfg.source)
    _build("views", TRANSFORMS, cfg.views)
    schedule = make_schedule(settings.schedule, len(source))
    _sampler(source, settings, cfg.seed)
    start = _find_checkpoint(cfg, resume)
    _require_weights(cfg, start)
    return (
        f"{len(source)} images, {schedule.steps} steps of {schedule.global_batch}, peak lr {schedule.peak:g}, "
        f"from {start or 'the beginning'}"
    )


def _build(section: str, registry: Registry, config: Config) -> Any:
    """Builds a section's object; what its constructor finds wrong becomes a :class:`ConfigError`."""
    try:
        return registry.build(config.to_dict())
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise ConfigError(f"{section}: {error}") from error


def _labelled(source: Any) -> bool:
    """Tells whether the source's images carry labels; it labels all or none."""
    return source.label(0) is not None


def _with_defaults(cfg: Config) -> PretrainConfig:
    """Returns a copy without helper variables, with the defaults that a config may leave out."""
    values = {key: value for key, value in cfg.to_dict().items() if not key.startswith("_")}
    values.setdefault("seed", 0)
    values.setdefault("vis_backends", [dict(type="TensorboardVisBackend")])
    if not values.get("work_dir"):
        values["work_dir"] = str(Path("work_dirs") / (Path(cfg.filename).stem if cfg.filename else "run"))
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


def _loader(source: Any, recipe: Any, settings: Settings, *, micro: int, seed: int) -> DataLoader:
    """Returns the endless loader of micro-batches of ``micro`` images for this process."""
    loader = settings.loader
    return DataLoader(
        ViewDataset(source, recipe, seed=seed, photometrics=loader.photometrics),
        batch_size=micro,
        sampler=_sampler(source, settings, seed),
        num_workers=loader.workers,
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        prefetch_factor=loader.prefetch if loader.workers else None,
        # Its own generator: a loader that starts draws one number, which must not shift the model's.
        generator=torch.Generator().manual_seed(seed),
    )


def _sampler(source: Any, settings: Settings, seed: int) -> EpochSampler:
    """Returns this process's sampler.

    Raises:
        ConfigError: the setting ``loader.images_per_class`` does not fit the source or the batch.
    """
    rank, size = world()
    layout = dict(rank=rank, world=size, seed=seed)
    batch, per_class = settings.schedule.global_batch, settings.loader.images_per_class
    if per_class is None:
        return EpochSampler(len(source), batch, **layout)
    if not _labelled(source):
        raise ConfigError(f"loader.images_per_class={per_class}: needs a source with labels; legal without is None")
    labels = np.array([source.label(index) for index in range(len(source))])
    if labels.ndim != 1:
        raise ConfigError(f"loader.images_per_class={per_class}: needs one class per image, the source gives several")
    try:
        return ClassBalancedSampler(labels, batch, images_per_class=per_class, **layout)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _start_worker(worker: int) -> None:
    """Prepares a loading process: one thread, and a signal to the whole job does not end it before the training."""
    limit_threads(worker)
    ignore_in_worker(worker)


def _find_checkpoint(cfg: Config, resume: bool | str | Path) -> Path | None:
    """Returns the checkpoint to continue from; see ``resume`` of :func:`build_runner`."""
    latest = checkpoints.latest_checkpoint(cfg.work_dir)
    if resume not in (True, False, "auto"):
        return _find_named(cfg, Path(resume), latest)
    if latest is None:
        return None
    if resume is False:
        raise ConfigError(
            f"work_dir={cfg.work_dir}: holds a run ({latest.name}); continue it with --resume or choose another "
            "--work-dir"
        )
    saved = parse(checkpoints.read_checkpoint(latest)["meta"]["cfg"])
    changed = [key for key in RECIPE if saved.get(key) != cfg.get(key)]
    if changed:
        raise ConfigError(
            f"work_dir={cfg.work_dir}: holds a run with another {', '.join(changed)}; choose another --work-dir, or "
            f"name the checkpoint (--resume {latest}) to continue it with this config"
        )
    return latest


def _require_weights(cfg: Config, checkpoint: Path | None) -> None:
    """Raises a :class:`ConfigError` if the run would begin with the weights of ``load_from`` and there are none."""
    if checkpoint is None and cfg.get("load_from") and not Path(cfg.load_from).is_file():
        raise ConfigError(f"load_from={cfg.load_from!r}: no such file; give the path of a checkpoint, or leave it out")


def _find_named(cfg: Config, named: Path, latest: Path | None) -> Path:
    """Returns the checkpoint ``named``, or the newest that this very launch has written since it began there.

    A process that is restarted or requeued runs the same command again, which names the same checkpoint.

    Raises:
        ConfigError: it holds weights only, or ``work_dir`` holds later checkpoints of something else: the newest by
            number is what is kept, pointed at and continued, so the two runs would be mixed.
    """
    origin = checkpoints.origin(named)
    if latest is not None and origin is not None:
        if checkpoints.read_checkpoint(latest)["meta"].get("origin") == origin:
            return latest
    checkpoint = checkpoints.read_checkpoint(named)
    missing = [key for key in ("optimizer", "sampler", "rng") if key not in checkpoint]
    if missing:
        raise ConfigError(
            f"--resume {named}: holds no {', '.join(missing)}; name an iter_N.pth, or start a new run from these "
            "weights with load_from"
        )
    later = [p.name for step, p in checkpoints.saved_steps(cfg.work_dir) if step > checkpoint["meta"]["iter"]]
    if later:
        raise ConfigError(
            f"work_dir={cfg.work_dir}: holds later checkpoints ({', '.join(later)}) than --resume {named}, and the "
            "latest would be taken for this run's; continue it with --resume, remove them, or choose another --work-dir"
        )
    return named
