"""What probes minimise. Sums over a few images, divided by what the whole step counts, so that
steps can be cut up.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.data.label_maps import IGNORE

_SCALES = 4  # dyadic scales of the gradient term


class Loss(Protocol):
    """A loss that is a sum over images, divided by counts of a whole optimiser step.

    Attributes:
        initial_std: Deviation of the probe's outputs to start from. Zero is a good start for a
            convex loss; one that is blind to scale is steep near zero, which AdamW remembers for
            hundreds of steps.
    """

    initial_std: float

    def totals(self, labels: Tensor) -> Tensor:
        """Counts of label maps (B, H, W), whatever :meth:`__call__` divides by; they add up over
        images.
        """

    def __call__(self, outputs: Tensor, labels: Tensor, totals: Tensor) -> Tensor:
        """The share of some images, outputs (B, K, H, W), in the loss of the step that has these
        totals.
        """


class CrossEntropy:
    """Cross-entropy of K classes, mean over the labelled pixels."""

    initial_std = 0.0

    def totals(self, labels: Tensor) -> Tensor:
        """(1,) labelled pixels."""
        return (labels != IGNORE).sum()[None]

    def __call__(self, outputs: Tensor, labels: Tensor, totals: Tensor) -> Tensor:
        """See :class:`Loss`; labels integer classes or ``IGNORE``."""
        loss = F.cross_entropy(outputs, labels.long(), ignore_index=IGNORE, reduction="sum")
        return loss / totals[0].clamp_min(1)


class MetricDepth:
    """Mean of the squared errors in m², over the pixels of known depth."""

    initial_std = 0.0

    def totals(self, labels: Tensor) -> Tensor:
        """(1,) pixels of known depth."""
        return (labels > 0).sum()[None]

    def __call__(self, outputs: Tensor, labels: Tensor, totals: Tensor) -> Tensor:
        """See :class:`Loss`; labels metres, 0 = unknown."""
        known = labels > 0
        return ((outputs[:, 0] - labels).square() * known).sum() / totals[0].clamp_min(1)


class RelativeDepth:
    """Squared error and gradients, blind to scale and shift; as published with MiDaS (arXiv
    1907.01341).

        Σ_i Σ (a_i·p + b_i − d)² / 2N + ½ Σ_k Σ_i Σ (|∂x r| + |∂y r|) / N_k,   r = a_i·p + b_i − d,

    (a_i, b_i) the least-squares fit of image i, k four scales that take every 2^k-th pixel, N and
    N_k the known pixels.
    """

    initial_std = 1.0

    def totals(self, labels: Tensor) -> Tensor:
        """(4,) pixels of known depth at each scale."""
        return torch.stack([(labels[:, :: 1 << k, :: 1 << k] > 0).sum() for k in range(_SCALES)])

    def __call__(self, outputs: Tensor, labels: Tensor, totals: Tensor) -> Tensor:
        """See :class:`Loss`; labels metres, 0 = unknown."""
        totals = totals.clamp_min(1)
        known = labels > 0
        scale, shift = align(outputs[:, 0], labels, known)
        residual = (scale[:, None, None] * outputs[:, 0] + shift[:, None, None] - labels) * known
        loss = residual.square().sum() / (2 * totals[0])
        for k in range(_SCALES):
            r, valid = residual[:, :: 1 << k, :: 1 << k], known[:, :: 1 << k, :: 1 << k]
            across = (
                (r[:, :, 1:] - r[:, :, :-1]).abs() * (valid[:, :, 1:] & valid[:, :, :-1])
            ).sum()
            down = ((r[:, 1:] - r[:, :-1]).abs() * (valid[:, 1:] & valid[:, :-1])).sum()
            loss = loss + 0.5 * (across + down) / totals[k]
        return loss


def align(prediction: Tensor, target: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Fits scale a and shift b of each image: least Σ (a·p + b − d)² over its known pixels;
    differentiable.

    Args:
        prediction: p (B, H, W).
        target: d (B, H, W).
        known: (B, H, W) bool.

    Returns:
        a, b (B,); a = 0 and b = mean of d where p is constant, both 0 where nothing is known.
    """
    count = known.sum((1, 2)).clamp_min(1)
    mean_p, mean_d = ((x * known).sum((1, 2)) / count for x in (prediction, target))
    p = (prediction - mean_p[:, None, None]) * known
    d = (target - mean_d[:, None, None]) * known
    variance = p.square().sum((1, 2))
    rounding = (
        8 * torch.finfo(p.dtype).eps * mean_p.detach()
    )  # of centred predictions that are constant in truth
    varies = variance > count * rounding.square()
    scale = torch.where(
        varies, (p * d).sum((1, 2)) / torch.where(varies, variance, torch.ones_like(variance)), 0.0
    )
    return scale, mean_d - scale * mean_p
