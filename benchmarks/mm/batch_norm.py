"""Statistics of BatchNorm layers, measured over a number of batches with fixed weights."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, is_main_process
from rich.progress import track
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def trained_norms(model: nn.Module) -> list[_BatchNorm]:
    """Returns the BatchNorm layers whose running statistics training moves; those kept in eval mode
    are left alone.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in norms if norm.training and norm.track_running_stats]


@torch.no_grad()
def measure(
    model: nn.Module, layers: Sequence[_BatchNorm], *, batches: Iterable[Any], count: int
) -> None:
    """Sets running statistics to the average, over batches, of each batch's mean and unbiased
    variance.

    Collective: with several processes the average goes over the batches of all of them.

    Args:
        model: of mmengine's kind, in train mode; weights do not change.
        layers: of that model. One that no batch reaches keeps what it has; one that is called
            several times per batch averages over calls.
        batches: as its ``data_preprocessor`` takes them.
        count: how many there are, for the progress bar.
    """
    options = dict(total=count, transient=True, disable=not is_main_process())
    with averaging(layers):
        for batch in track(batches, "BatchNorm statistics", **options):
            model(**model.data_preprocessor(batch, True), mode="loss")


@contextmanager
def averaging(layers: Sequence[_BatchNorm]) -> Iterator[None]:
    """Running statistics of layers in train mode become the average over the calls within a
    ``with`` block; counters of batches stay as they are. Collective, as :func:`measure`.
    """
    kept = []
    for layer in layers:
        kept.append((layer.momentum, copy.deepcopy(dict(layer.named_buffers()))))
        layer.reset_running_stats()
        # torch then averages all calls since the reset, each with the same weight.
        layer.momentum = None
    yield
    for layer, (momentum, buffers) in zip(layers, kept, strict=True):
        layer.momentum = momentum
        _share(layer, buffers)


def _share(layer: _BatchNorm, before: dict[str, Tensor]) -> None:
    """Averages a layer over processes, by how often each has called it; puts back what no call has
    touched.
    """
    calls = layer.num_batches_tracked.clone()
    total = calls.clone()
    all_reduce(total, "sum")
    layer.num_batches_tracked.copy_(before["num_batches_tracked"])
    for name in ("running_mean", "running_var"):
        statistic = getattr(layer, name)
        summed = statistic * calls
        all_reduce(summed, "sum")
        statistic.copy_(summed / total if total else before[name])
