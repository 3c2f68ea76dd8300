"""Depth as a mean over fixed bins, and the losses it is trained with."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GRADIENTS = ("pixels", "images")
_FLOOR = 0.1  # of a bin's weight: pulls every depth towards the middle of the range
_EPSILON = 1e-3  # metres, inside the logarithms
_MEAN_WEIGHT = 0.15  # of the squared mean against the variance
_WARMUP_STEPS = 100  # of the loss: the mean part alone


def depth_of_bins(outputs: Tensor, least: float, most: float) -> Tensor:
    """Turns outputs z into depth Σ w·b / Σ w with w = relu(z) + .1 and K bins b evenly spread.

    Args:
        outputs: (B, K, h, w).
        least: First bin in metres.
        most: Last bin in metres.

    Returns:
        (B, 1, h, w) metres, never outside the bins.
    """
    weights = outputs.relu() + _FLOOR
    bins = torch.linspace(least, most, outputs.shape[1], dtype=outputs.dtype, device=outputs.device)
    weighted = torch.einsum("bkhw,k->bhw", weights, bins)
    return (weighted / weights.sum(1))[:, None]


def sig_loss(depth: Tensor, target: Tensor, *, step: int | None = None) -> Tensor:
    """Scale-invariant loss √(Var g + .15 · mean² g), g = ln(p + .001) − ln(d + .001).

    The variance is unbiased, over all known pixels of the images together. In the first 100 steps
    only the mean part counts.

    Args:
        depth: p (B, H, W) metres.
        target: d (B, H, W) metres, 0 = unknown.
        step: Of the training, 0 first; None: after the first 100.

    Returns:
        The loss; 0 without a known pixel.
    """
    known = target > 0
    difference = (depth[known] + _EPSILON).log() - (target[known] + _EPSILON).log()
    if not len(difference):
        return depth.sum() * 0
    mean = difference.mean()
    if step is not None and step < _WARMUP_STEPS:
        return math.sqrt(_MEAN_WEIGHT) * mean.abs()
    variance = difference.var() if len(difference) > 1 else 0 * mean
    # the root has no gradient at 0
    return (variance + _MEAN_WEIGHT * mean.square()).clamp_min(1e-12).sqrt()


def gradient_loss(depth: Tensor, target: Tensor, *, between: str) -> Tensor:
    """Differences of g = ln(p + .001) − ln(d + .001) between neighbours two apart, Σ |Δg| / N over
    known pairs, added up over four scales: all, every 2nd, every 4th and every 6th.

    Args:
        depth: p (B, H, W) metres.
        target: d (B, H, W) metres, 0 = unknown.
        between: ``pixels``: neighbours along the rows and columns of an image. ``images``:
            neighbours along the batch, which is what DINOv2's published code computes; it is 0 for
            one and for two images, as its processes have.

    Returns:
        The loss; N is the number of known pixels of a scale, a scale without any adds 0.
    """
    known = (target > 0).to(depth.dtype)
    difference = ((depth + _EPSILON).log() - (target + _EPSILON).log()) * known
    total = depth.sum() * 0
    for step in (1, 2, 4, 6):
        if between == "images":
            part, valid, axes = difference[::step], known[::step], (0,)
        else:
            part, valid = difference[:, ::step, ::step], known[:, ::step, ::step]
            axes = (1, 2)
        for axis in axes:
            length = part.shape[axis] - 2
            if length < 1:
                continue
            change = part.narrow(axis, 0, length) - part.narrow(axis, 2, length)
            both = valid.narrow(axis, 0, length) * valid.narrow(axis, 2, length)
            total = total + (change.abs() * both).sum() / valid.sum().clamp_min(1)
    return total
