"""Means, sums and gathers over all processes, with the gradients of one process."""

from __future__ import annotations

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor
from torch import distributed as dist


def mean_over_valid(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the valid values over the batches of all processes, 0 if there is none.

    Data-parallel training averages the losses of its W processes; this returns Σ_local · W /
    count_global, whose average is the mean that one process would compute, whatever the counts of
    the single processes.

    Args:
        values: (B,) float. valid: (B,) bool.
    """
    count = valid.sum().to(values.dtype)
    world = get_world_size()
    if world > 1:
        dist.all_reduce(count)
    return torch.where(valid, values, 0).sum() * world / count.clamp_min(1)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001 – torch's own context object
        parts = [torch.empty_like(x) for _ in range(get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # noqa: ANN001
        grad = grad.contiguous()
        dist.all_reduce(
            grad
        )  # every process used every row: the gradients of all of them belong to the owner
        return grad.chunk(get_world_size())[get_rank()]


def gather(x: Tensor) -> Tensor:
    """Concatenates equally shaped x (B, …) of all processes in rank order, (W·B, …), with gradient.

    If each process averages a loss over its own B anchors against all W·B entries, data-parallel
    averaging gives exactly the gradient of one process with the whole batch.
    """
    return _Gather.apply(x) if get_world_size() > 1 else x


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # noqa: ANN001
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:  # noqa: ANN001
        grad = grad.clone()
        dist.all_reduce(grad)  # the loss of every process depends on this one's x
        return grad


def sum_over_processes(x: Tensor) -> Tensor:
    """Returns the sum of equally shaped x of all processes, with gradient.

    If each process computes the same loss from such sums, data-parallel averaging gives exactly the
    gradient of one process with the whole batch: its backward sums the gradients of all processes,
    where passing on each one's own would give 1/W of it.
    """
    return _Sum.apply(x) if get_world_size() > 1 else x
