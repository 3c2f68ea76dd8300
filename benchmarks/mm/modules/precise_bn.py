"""BatchNorm statistics for the final evaluation, measured afresh with the final weights."""

from __future__ import annotations

from itertools import islice
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from benchmarks.mm.batch_norm import measure, trained_norms


@HOOKS.register_module()
class PreciseBN(Hook):
    """After the last training iteration, replaces all running statistics by plain averages over
    training batches.

    Running statistics are moving averages over weights that were still changing, and over few
    images each. PixPro's transfer, like MoCo's, tests with statistics of the final weights
    ("precise BN"). The new ones enter the last checkpoint and the final evaluation; evaluations
    before it use the running ones.

    Args:
        batches: how many training batches enter; 200 is detectron2's default, at 16 images a batch.

    Raises:
        ValueError: ``batches`` below 1.
    """

    priority = "LOW"  # before the hook that writes checkpoints

    def __init__(self, batches: int = 200) -> None:
        if batches < 1:
            raise ValueError(f"PreciseBN.batches={batches} must be at least 1")
        self.batches = batches

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Acts after the last iteration only; collective."""
        if not self.is_last_train_iter(runner):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        layers = trained_norms(model)
        if not layers:
            return
        # Training is over: taking its batches on leaves no order to disturb.
        source = runner.train_loop.dataloader_iterator
        with runner.optim_wrapper.optim_context(model):
            batches = islice(source, self.batches)
            measure(model, layers, batches=batches, count=self.batches)
        runner.logger.info(
            f"statistics of {len(layers)} BatchNorm layers measured on {self.batches} batches"
        )
