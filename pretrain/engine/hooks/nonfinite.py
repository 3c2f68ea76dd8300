"""Stopping when the loss or the gradients are no longer numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from pretrain.files import atomic_write
from pretrain.terms import is_loss

# The fp16 scaler starts at 2^16 and halves once per skipped step: this many in a row is no search
# for a scale.
FP16_TOLERATED_SKIPS = 25
GRADIENT_NORM = "gradient norm"


class NonFiniteError(ValueError):
    """Loss or gradients became infinite or NaN."""


class _Watched(NamedTuple):
    """One step's values on their way to the CPU."""

    step: int
    ids: list[Tensor]
    values: Tensor  # all terms and, last, the gradient norm
    names: list[str]
    ready: torch.cuda.Event | None


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Stops the run at the first step of which a loss term or the gradient norm is not finite.

    The ids of the step's images on this process are left in ``work_dir/nonfinite_step_N.json``
    (ranks above 0 add ``_rankR``). Checkpoints written before that step are clean: on CUDA the
    values are looked at one step late, so that no step waits for them, but always before a
    checkpoint is written. Under fp16 the scaler leaves out single steps; only
    ``FP16_TOLERATED_SKIPS`` in a row stop the run.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self._pending: _Watched | None = None
        self._bad_in_a_row = 0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Looks at the step before (CUDA) or at this one (CPU)."""
        norm = runner.optim_wrapper.grad_norm
        values = torch.stack([v.float().reshape(()) for v in (*outputs.values(), norm)])
        watched = self._send(values, runner.train_loop, [*outputs, GRADIENT_NORM])
        due, self._pending = (self._pending, watched) if values.is_cuda else (watched, None)
        if due is not None:
            self._look(runner, due)

    def _send(self, values: Tensor, loop: Any, names: list[str]) -> _Watched:
        """Starts the copy to pinned memory, which the next step overtakes."""
        ready = None
        if values.is_cuda:
            pinned = torch.empty(values.shape, pin_memory=True)
            values = pinned.copy_(values, non_blocking=True)
            ready = torch.cuda.Event()
            ready.record()
        return _Watched(loop.iter, loop.step_ids, values, names, ready)

    def before_checkpoint(self, runner: Runner) -> None:
        """Looks at what is still on its way, so that no poisoned weights are saved."""
        if self._pending is not None:
            due, self._pending = self._pending, None
            self._look(runner, due)

    def _look(self, runner: Runner, watched: _Watched) -> None:
        if watched.ready is not None:
            watched.ready.synchronize()
        values = dict(zip(watched.names, watched.values.tolist(), strict=True))
        # A metric may have no value in a batch, and on one process only: that is no reason to stop.
        bad = []
        for name, value in values.items():
            if not math.isfinite(value) and (is_loss(name) or name == GRADIENT_NORM):
                bad.append(name)
        if not bad:
            self._bad_in_a_row = 0
            return
        self._bad_in_a_row += 1
        if runner.optim_wrapper.scaler is not None and self._bad_in_a_row < FP16_TOLERATED_SKIPS:
            return
        self._stop(runner, watched, values, bad=bad)

    def _stop(
        self, runner: Runner, watched: _Watched, values: dict[str, float], *, bad: list[str]
    ) -> None:
        """Saves the ids and raises."""
        rank = get_rank()
        name = f"nonfinite_step_{watched.step + 1}" + (f"_rank{rank}" if rank else "") + ".json"
        path = Path(runner.work_dir) / name
        ids = torch.cat([part.cpu() for part in watched.ids])
        record = {
            "step": watched.step + 1,
            "rank": rank,
            "ids": ids.tolist(),
            "values": {key: repr(value) for key, value in values.items()},
        }
        atomic_write(path, json.dumps(record, indent=1))
        listed = ", ".join(f"{name} = {values[name]}" for name in bad)
        raise NonFiniteError(
            f"step {watched.step + 1}: {listed}. The ids of the images are in {path}. "
            "Checkpoints before this step are clean; lower the learning rate, lengthen the "
            "warm-up, set engine.clip_grad or use bf16 instead of fp16"
        )
