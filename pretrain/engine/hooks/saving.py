"""When checkpoints are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pretrain.engine import checkpoints

FINAL = "final.pth"  # the weights without training state, written when the run is over


@HOOKS.register_module()
class SaveHook(Hook):
    """Writes ``iter_N.pth`` every ``every`` optimiser steps and at the end, then ``final.pth``;
    keeps the newest, and those that hooks name in ``runner.spared``.

    Args:
        every: optimiser steps between checkpoints.
        keep: how many of the newest stay on disk.
    """

    priority = "VERY_LOW"

    def __init__(self, every: int, keep: int) -> None:
        self.every, self.keep = every, keep
        self._saved: int | None = None  # step of the newest checkpoint

    def before_train(self, runner: Runner) -> None:
        """Removes what a killed process left half written."""
        if is_main_process():
            checkpoints.tidy(runner.work_dir, self.keep, spared=runner.spared)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Writes a checkpoint when it is time."""
        steps = runner.train_loop.iter + 1
        if steps % self.every == 0 or steps == runner.train_loop.max_iters:
            self.save(runner, steps)

    def stop_early(self, runner: Runner, steps: int) -> None:
        """Writes a checkpoint because the run is about to be stopped (see ``PreemptionHook``)."""
        self.save(runner, steps)

    def save(self, runner: Runner, steps: int) -> None:
        """Writes ``iter_<steps>.pth`` unless it is there already. Collective."""
        path = Path(runner.work_dir) / f"iter_{steps}.pth"
        # Whether the file exists may differ between nodes for a moment; the step number does not.
        if self._saved != steps:
            runner.call_hook("before_checkpoint")
            runner.save_checkpoint(path, steps=steps)
            self._saved = steps
            if is_main_process():
                checkpoints.tidy(runner.work_dir, self.keep, spared=runner.spared)

    def after_train(self, runner: Runner) -> None:
        """Writes ``final.pth`` if the run reached its end."""
        loop = runner.train_loop
        if loop.iter >= loop.max_iters:
            runner.save_checkpoint(
                Path(runner.work_dir) / FINAL, steps=loop.iter, training_state=False
            )
