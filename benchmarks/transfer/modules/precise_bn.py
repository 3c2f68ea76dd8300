"""BatchNorm statistics for the final evaluation, measured afresh with the final weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from rich.progress import track
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@HOOKS.register_module()
class PreciseBN(Hook):
    """After the last training iteration, replaces all running statistics by plain averages over training batches.

    Running statistics are moving averages over weights that were still changing, and over few images each. PixPro's
    transfer, like MoCo's, tests with statistics of the final weights ("precise BN"). The new ones enter the last
    checkpoint and the final evaluation; evaluations before it use the running ones.

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
            measure(model, layers, (next(source) for _ in range(self.batches)), self.batches)
        runner.logger.info(f"statistics of {len(layers)} BatchNorm layers measured on {self.batches} batches")


def trained_norms(model: nn.Module) -> list[_BatchNorm]:
    """Returns the BatchNorm layers whose running statistics training moves; those kept in eval mode are left alone."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]


@torch.no_grad()
def measure(model: nn.Module, layers: Sequence[_BatchNorm], batches: Iterable[Any], count: int) -> None:
    """Sets running statistics to the average, over batches, of each batch's mean and unbiased variance.

    Args:
        model: of mmengine's kind, in train mode; weights do not change.
        layers: of that model. One that no batch reaches keeps what it has; one that is called several times per batch
            averages over calls.
        batches: as its ``data_preprocessor`` takes them.
        count: how many there are, for the progress bar.
    """
    kept = [(layer.momentum, {name: buffer.clone() for name, buffer in layer.named_buffers()}) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch then averages all calls since the reset, each with the same weight
    try:
        silent = not is_main_process()
        for batch in track(batches, "BatchNorm statistics", total=count, transient=True, disable=silent):
            model(**model.data_preprocessor(batch, True), mode="loss")
    finally:
        for layer, (momentum, buffers) in zip(layers, kept, strict=True):
            reached = int(layer.num_batches_tracked)
            layer.momentum = momentum
            layer.num_batches_tracked.copy_(buffers["num_batches_tracked"])
            for name in ("running_mean", "running_var"):
                if reached:
                    all_reduce(getattr(layer, name), "mean")
                else:
                    getattr(layer, name).copy_(buffers[name])
