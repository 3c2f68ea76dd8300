"""mmengine's Runner with our loop, optimiser, schedules and checkpoints."""

from __future__ import annotations

import itertools
import os
import platform
import time
from pathlib import Path
from typing import Any

import mmengine
import timm
import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size, is_main_process, master_only
from mmengine.optim import OptimWrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from pretrain.checkpoint_file import read_checkpoint
from pretrain.engine import checkpoints, sharding
from pretrain.engine.distributed import current_device, wrap
from pretrain.engine.group_settings import GROUP_KEYS
from pretrain.engine.model import TrainedModel
from pretrain.engine.optim import PrecisionOptimWrapper, build_optimizer
from pretrain.engine.resumption import RunLock
from pretrain.engine.schedule import Schedule
from pretrain.engine.settings import EngineSettings
from pretrain.engine.start_weights import META, StartReport
from pretrain.random_state import restore_random_state

_counter = itertools.count()


@RUNNERS.register_module()
class PretrainRunner(Runner):
    """Trains a :class:`pretrain.engine.model.TrainedModel`; made by
    :func:`pretrain.engine.build.build_runner`.

    Args:
        cfg: The whole config; goes into the checkpoints.
        model: The model, on the CPU, not wrapped.
        settings: The config's ``engine`` section.
        schedule: Steps and learning rates.
        accumulate: micro-batches per step.
        dataloader: Endless loader; its sampler has ``state_after`` and ``load_state``.
        launcher: ``none``, ``pytorch`` or ``slurm``; the process group is already open.
        resume: None, or the checkpoint to continue from.
        origin: see :func:`pretrain.engine.checkpoints.origin`.
        start: what the model was filled with before its first step, None for nothing.
        lock: the mark on ``work_dir``, given free when training ends, however it ends.
        hooks: Hooks (objects or registry dicts) in addition to mmengine's timer.

    Attributes:
        start: which weights the run began with, as its checkpoints' ``meta`` says it; empty: random
            ones.
        spared: steps whose checkpoints stay on disk beside the newest; hooks fill it.
    """

    def __init__(
        self,
        cfg: Config,
        model: TrainedModel,
        settings: EngineSettings,
        *,
        schedule: Schedule,
        accumulate: int,
        dataloader: DataLoader,
        launcher: str,
        resume: Path | None,
        origin: str | None,
        start: StartReport | None,
        lock: RunLock,
        hooks: list[Any],
    ) -> None:
        self.settings, self.schedule = settings, schedule
        self.train_seconds = 0.0  # of earlier processes of this run
        self._rng: list[dict[str, Any]] | None = None
        self._resume_path, self._origin, self._lock = resume, origin, lock
        self._started = time.time()
        self.start = {} if start is None else start.meta
        self.spared: set[int] = set()
        removed = ("logger", "param_scheduler", "checkpoint", "sampler_seed", "runtime_info")
        super().__init__(
            model=model,
            work_dir=cfg.work_dir,
            train_dataloader=dataloader,
            train_cfg=dict(type="PretrainLoop", schedule=schedule, accumulate=accumulate),
            optim_wrapper=dict(accumulate=accumulate),
            default_hooks={name: None for name in removed},
            custom_hooks=hooks,
            launcher=launcher,
            env_cfg=dict(mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0)),
            visualizer=dict(type="Visualizer", vis_backends=cfg.get("vis_backends") or []),
            randomness=dict(seed=cfg.seed, deterministic=settings.deterministic),
            # mmengine keeps loggers and visualisers by name for the whole process: never give a
            # name twice.
            experiment_name=f"{Path(cfg.work_dir).name}_{os.getpid()}_{next(_counter)}",
            cfg=cfg,
        )
        if start is not None:
            (self.logger.warning if start.notes else self.logger.info)(str(start))
        for remark in model.remarks(schedule.per_epoch):
            self.logger.info(remark)
        # Ranks start from one model and differ afterwards, in whatever the model draws at random.
        torch.manual_seed(cfg.seed + get_rank())

    @property
    def raw_model(self) -> nn.Module:
        """The model without its wrapper for several processes."""
        return getattr(self.model, "module", self.model)

    @property
    def sampler(self) -> Any:
        """The training sampler."""
        return self.train_dataloader.sampler

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Moves the model to its device and wraps it (:func:`pretrain.engine.distributed.wrap`)."""
        if self.settings.compile:
            # In place, so that the names in the state dict stay as they are.
            for network in model.networks:
                network.compile()
        return wrap(model, self.settings)

    def _init_model_weights(self) -> None:
        """Does nothing: models draw their weights when they are built, after the seed was set,
        equal on all ranks.
        """

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> OptimWrapper:
        """Builds optimiser and wrapper from the config's ``optimizer`` section."""
        if isinstance(optim_wrapper, OptimWrapper):
            return optim_wrapper
        optimizer = build_optimizer(
            self.raw_model, self.cfg.optimizer.to_dict(), self.schedule.lr(0)
        )
        return PrecisionOptimWrapper(
            optimizer,
            self.settings.precision,
            device_type=current_device().type,
            accumulate=optim_wrapper["accumulate"],
            clip_grad=self.settings.clip_grad,
        )

    def train(self) -> nn.Module:
        """Trains to the end, or until a hook stops the run; returns the model."""
        try:
            return super().train()
        finally:
            self._lock.release()

    def load_or_resume(self) -> None:
        """Continues from the checkpoint given at construction; ``load_from`` is done already."""
        if self._has_loaded:
            return
        self._has_loaded = True
        if self._resume_path is not None:
            self.resume(str(self._resume_path))

    def resume(self, filename: str, **_: Any) -> None:
        """Restores everything :meth:`save_checkpoint` wrote. O(1) in the step number: no data is
        walked through.

        At another number of processes the data order stays exact, because the sampler counts global
        batches; only the random numbers drawn inside the model cannot continue, and the log says
        so.
        """
        checkpoint = read_checkpoint(filename)
        meta = checkpoint["meta"]
        sharding.load_model(self.raw_model, checkpoint["state_dict"], strict=True)
        self._load_optimizer(checkpoint["optimizer"])
        self.train_loop._iter = meta["iter"]
        self.sampler.load_state(checkpoint["sampler"])
        self.train_seconds = meta["seconds"]
        self.start = {name: meta[name] for name in META if name in meta}
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        rank, size = get_rank(), get_world_size()
        if len(checkpoint["rng"]) == size:
            self._rng = checkpoint["rng"][rank]
        else:
            self.logger.warning(
                f"resumed with {size} processes, the checkpoint was written by "
                f"{len(checkpoint['rng'])}: the order of images is the same, random numbers "
                "drawn inside the model start afresh"
            )
        self.logger.info(f"resumed {filename} at step {meta['iter']} of {self.schedule.steps}")

    def _load_optimizer(self, state: dict[str, Any]) -> None:
        """Restores the optimiser's state; its settings stay the config's, where torch would take
        the checkpoint's.
        """
        groups = self.optim_wrapper.param_groups
        names = {*GROUP_KEYS, *self.cfg.optimizer}
        settings = []
        for group in groups:
            settings.append({name: group[name] for name in names & group.keys()})
        sharding.load_optimizer(self.raw_model, self.optim_wrapper, state)
        for group, own in zip(self.optim_wrapper.param_groups, settings, strict=True):
            group.update(own)

    def restore_rng(self) -> None:
        """Restores this process's generators from the resumed checkpoint, if there is one."""
        if self._rng is not None:
            restore_random_state(self._rng)

    def save_checkpoint(self, path: str | Path, *, steps: int, training_state: bool = True) -> None:  # type: ignore
        """Writes a checkpoint atomically. Collective: every rank must call it; rank 0 writes.

        Args:
            path: File to write.
            steps: optimiser steps done.
            training_state: with optimiser, sampler and generators (to continue), or only the
                weights (to use).
        """
        model_state, optimizer_state = sharding.full_state(self.raw_model, self.optim_wrapper)
        generators = checkpoints.gather_random_states()
        if not is_main_process():
            return
        checkpoint: dict[str, Any] = {
            "meta": self.describe(steps),
            "state_dict": model_state,
            "message_hub": {},
        }
        if training_state:
            checkpoint["optimizer"] = optimizer_state
            checkpoint["param_schedulers"] = [{"step": steps, "steps": self.schedule.steps}]
            checkpoint["sampler"] = self.sampler.state_after(steps)
            checkpoint["rng"] = generators
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        checkpoints.write_checkpoint(checkpoint, Path(path))

    def describe(self, steps: int) -> dict[str, Any]:
        """Returns a checkpoint's ``meta``: plain values, which the safe loader reads anywhere."""
        return {
            "epoch": 0,
            "iter": steps,
            "total_iters": self.schedule.steps,
            "samples_seen": steps * self.schedule.global_batch,
            "seconds": self.seconds(),
            "seed": self.cfg.seed,
            "origin": self._origin,
            "cfg": self.cfg.pretty_text,
            **self.start,
            **self.raw_model.describe(),
            "experiment_name": self.experiment_name,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "versions": versions(),
        }

    def seconds(self) -> float:
        """Returns the wall-clock seconds this run has trained, before resumes as well."""
        return self.train_seconds + time.time() - self._started

    @master_only
    def dump_config(self) -> None:
        """Writes the resolved config to ``work_dir/config.py``."""
        self.cfg.dump(Path(self.work_dir) / "config.py")

    def get_hooks_info(self) -> str:
        """Returns the hooks in their order, in one line."""
        return ", ".join(type(hook).__name__ for hook in self._hooks)

    def _log_env(self, env_cfg: dict) -> None:
        """Logs versions and device; mmengine's own listing starts compilers and takes seconds."""
        listed = ", ".join(f"{name} {version}" for name, version in versions().items())
        self.logger.info(f"{listed}; device {current_device()}; {get_world_size()} process(es)")


def versions() -> dict[str, str]:
    """Returns the versions that can change a result."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "timm": timm.__version__,
        "mmengine": mmengine.__version__,
    }
