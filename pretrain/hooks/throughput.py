"""How fast a run is and where its time goes."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pretrain.engine.efficiency import BarePasses, synchronise
from pretrain.engine.sharding import is_sharded
from pretrain.memory import peak_resident
from pretrain.structures import Batch

# Steps before the efficiency is measured that are timed with the device brought to rest, and passes
# over the backbones.
TIMED_STEPS = 5
TIMED_PASSES = 3


def peak_memory(device: torch.device) -> float:
    """Returns the most memory used so far in GiB: allocated on a CUDA device, resident in this
    process otherwise.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return peak_resident() / 2**30


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Images per second, waiting for data, peak memory; once also the step efficiency.

    Scalars, under ``watch/`` in ``curve.csv`` and TensorBoard, means over ``every`` optimiser
    steps:

    - ``images_per_s``: over all processes, wall clock, everything included (other hooks, waiting
      for data) but this hook's own measurement;
    - ``data_wait``: share of that time that the training process waited for batches;
    - ``peak_memory_gib``: largest so far, see :func:`peak_memory`;
    - ``step_efficiency``: once, after step ``efficiency_at``, see ``pretrain.engine.efficiency``.
      The step is taken without waiting for data and is the median of the last 5; passes are medians
      of 3. All processes measure together, since BatchNorm may be synchronised. Costs the time of
      three to four steps and a copy of the backbones.

    Args:
        every: optimiser steps between values.
        efficiency_at: optimiser step after which the efficiency is measured; None = never. Not
            measured under FSDP, where a backbone cannot run alone.

    Raises:
        ValueError: ``every`` below 1, or ``efficiency_at`` below the 5 steps that it needs.
    """

    # First to see the end of a step, so that the time of other hooks does not count as the step's.
    priority = "VERY_HIGH"
    without_asking = ", or measure no step efficiency: efficiency_at=None"

    def __init__(self, every: int = 50, *, efficiency_at: int | None = 20) -> None:
        if every < 1:
            raise ValueError(f"ThroughputHook.every={every}: must be at least 1")
        if efficiency_at is not None and efficiency_at < TIMED_STEPS:
            raise ValueError(
                f"ThroughputHook.efficiency_at={efficiency_at}: must be at least {TIMED_STEPS}, "
                "or None"
            )
        self.every, self.efficiency_at = every, efficiency_at
        self._since = self._waited = self._began = self._first_wait = 0.0
        self._steps, self._peak = 0, 0.0
        self._step_seconds: list[float] = []

    @property
    def asks_of_model(self) -> tuple[str, ...]:
        """What the step efficiency needs to know of the model; speed alone needs nothing."""
        return () if self.efficiency_at is None else ("objectives.needs.online",)

    def before_train(self, runner: Runner) -> None:
        """Starts the clock."""
        self._since = time.perf_counter()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Starts a timed step."""
        self._first_wait = runner.train_loop.data_wait
        if self._times(runner):
            synchronise(_device(runner))
            self._began = time.perf_counter()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Batch | None = None, outputs: Any = None
    ) -> None:
        """Counts the step; measures and tells if it is time."""
        loop, step = runner.train_loop, runner.iter + 1
        if self._times(runner):
            synchronise(_device(runner))
            later_waits = (
                loop.data_wait - self._first_wait
            )  # those of further micro-batches lie inside the step
            self._step_seconds.append(time.perf_counter() - self._began - later_waits)
        self._steps += 1
        self._waited += loop.data_wait
        if step % self.every == 0 or step == runner.max_iters:
            self._tell(runner)
        if step == self.efficiency_at and self._step_seconds:
            self._measure_efficiency(runner, data_batch)

    def _times(self, runner: Runner) -> bool:
        """Whether the step in progress is among those the efficiency compares with."""
        last = self.efficiency_at
        return last is not None and last - TIMED_STEPS < runner.iter + 1 <= last

    def _tell(self, runner: Runner) -> None:
        now = time.perf_counter()
        elapsed = max(1e-9, now - self._since)
        self._peak = max(self._peak, peak_memory(_device(runner)))
        values = {
            "images_per_s": runner.schedule.global_batch * self._steps / elapsed,
            "data_wait": self._waited / elapsed,
            "peak_memory_gib": self._peak,
        }
        self._since, self._steps, self._waited = now, 0, 0.0
        self._log(runner, values)

    def _log(self, runner: Runner, values: dict[str, float]) -> None:
        if not is_main_process():
            return
        for name, value in values.items():
            runner.message_hub.update_scalar(f"train/watch/{name}", value)
        numbers = "  ".join(f"{name} {value:.3g}" for name, value in values.items())
        runner.logger.info(f"speed, step {runner.iter + 1}: {numbers}")

    def _measure_efficiency(self, runner: Runner, batch: Batch) -> None:
        """Times the bare passes of the last micro-batch; ``images_per_s`` leaves that time out."""
        model, device = runner.raw_model, _device(runner)
        if is_sharded(model):
            runner.logger.info(
                "step efficiency: not measured under FSDP, where a backbone cannot run alone"
            )
            return
        started = time.perf_counter()
        self._peak = max(self._peak, peak_memory(device))
        prepared = model.data_preprocessor(batch, True)["batch"]
        passes = BarePasses(model, prepared, runner.optim_wrapper.dtype)
        bare = [sum(passes.measure().values()) for _ in range(TIMED_PASSES)]
        del passes
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(
                device
            )  # the copies are not part of what training needs
        efficiency = (
            statistics.median(bare)
            * runner.train_loop.accumulate
            / statistics.median(self._step_seconds)
        )
        self._log(runner, {"step_efficiency": efficiency})
        self._since += time.perf_counter() - started


def _device(runner: Runner) -> torch.device:
    return next(runner.raw_model.parameters()).device
