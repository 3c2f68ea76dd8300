"""The training loop: counts optimiser steps and nothing else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pretrain.engine.schedule import Schedule
from pretrain.structures import Batch


@LOOPS.register_module()
class PretrainLoop(BaseLoop):
    """Runs ``schedule.steps`` optimiser steps over an endless loader.

    One step: rates set → ``accumulate`` micro-batches → optimiser → targets follow → hooks.
    Hooks see mmengine's stages with one "iteration" = one optimiser step: ``runner.iter`` is the
    0-based step in progress, and still is during ``after_train_iter``.

    Args:
        runner: The runner.
        dataloader: Endless loader of :class:`Batch` micro-batches.
        schedule: Learning rates and number of steps.
        accumulate: micro-batches per step.

    Attributes:
        step_ids: ids of all images of the last step on this process, one (B,) int64 tensor per
            micro-batch.
        skipped: (id, reason) of unreadable files met in the last step on this process.
        data_wait: seconds that the last step waited for its micro-batches.
        stop: set by a hook to end the loop after the current step.
    """

    def __init__(
        self, runner: Runner, dataloader: DataLoader, *, schedule: Schedule, accumulate: int = 1
    ) -> None:
        super().__init__(runner, dataloader)
        self.schedule = schedule
        self.accumulate = accumulate
        self.step_ids: list[Tensor] = []
        self.skipped: list[tuple[int, str]] = []
        self.data_wait = 0.0
        self.stop = False
        self._iter = 0
        self._epoch = 0

    @property
    def iter(self) -> int:
        """Optimiser step in progress, counted from 0."""
        return self._iter

    @property
    def max_iters(self) -> int:
        """Optimiser steps of the whole run."""
        return self.schedule.steps

    @property
    def epoch(self) -> int:
        """Always 0: epochs belong to the sampler; to mmengine's hooks the loop is one epoch."""
        return self._epoch

    @property
    def max_epochs(self) -> int:
        """Always 1, see :attr:`epoch`."""
        return 1

    def run(self) -> nn.Module:
        """Trains to the end, or to the step after which a hook set ``stop``; returns the model."""
        runner = self.runner
        runner.call_hook("before_train")
        runner.call_hook("before_train_epoch")
        runner.model.train()
        batches = iter(self.dataloader)
        # Last thing before the first step: whatever ran above may have drawn random numbers.
        runner.restore_rng()
        try:
            while self._iter < self.max_iters and not self.stop:
                self.run_step(batches)
        finally:
            del batches  # ends the workers now, not when the interpreter does
        runner.call_hook("after_train_epoch")
        runner.call_hook("after_train")
        return runner.model

    def run_step(self, batches: Iterator[Batch]) -> None:
        """Runs one optimiser step and its hooks."""
        runner = self.runner
        runner.optim_wrapper.set_step(self.schedule, self._iter)
        model = runner.raw_model
        model.progress = self.schedule.progress(self._iter)
        model.epoch = self._iter / self.schedule.per_epoch
        self.step_ids, self.skipped, self.data_wait = [], [], 0.0
        outputs: dict[str, Tensor] = {}
        for micro in range(self.accumulate):
            asked = time.perf_counter()
            batch = next(batches)
            self.data_wait += time.perf_counter() - asked
            self.step_ids.append(batch.ids)
            self.skipped.extend(batch.skipped)
            if micro == 0:
                runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=batch)
            terms = runner.model.train_step(batch, optim_wrapper=runner.optim_wrapper)
            for name, value in terms.items():
                share = torch.as_tensor(value).detach() / self.accumulate
                outputs[name] = outputs[name] + share if name in outputs else share
        model.after_step(self.schedule.progress(self._iter + 1))
        runner.call_hook(
            "after_train_iter", batch_idx=self._iter, data_batch=batch, outputs=outputs
        )
        self._iter += 1
