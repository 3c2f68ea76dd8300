"""Matches between two sets of features, and how far off they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_MOST_SCORES = 1 << 25  # cosines in memory at once, 128 MB


@dataclass(frozen=True, eq=False)
class Matches:
    """Matched points of a pair, those of the largest weight first.

    Attributes:
        source, target: (n,) int64, numbers of points.
        weights: (n,) in [0, 1].
    """

    source: Tensor
    target: Tensor
    weights: Tensor


def match_points(source: Tensor, target: Tensor, count: int) -> Matches:
    """Matches each source with its nearest target by cosine distance d; the weight is 1 − d₁ / d₂
    of the two nearest.

    Args:
        source: (N, C) unit norm.
        target: (M, C) unit norm, M ≥ 2.
        count: matches kept at most.
    """
    weights, nearest = [], []
    for some in source.split(max(1, _MOST_SCORES // len(target))):
        near = (some @ target.T).topk(2, dim=1)
        distances = 1 - near.values  # d₁ ≤ d₂
        weights.append(1 - distances[:, 0] / distances[:, 1].clamp_min(1e-9))
        nearest.append(near.indices[:, 0])
    order = torch.cat(weights).sort(descending=True, stable=True)
    chosen = order.indices[:count]
    return Matches(chosen, torch.cat(nearest)[chosen], order.values[:count])


def match_errors(
    source: Tensor, target: Tensor, *, rotation: Tensor, translation: Tensor, focal: float
) -> tuple[Tensor, Tensor]:
    """Errors of matched points under the true pose.

    Args:
        source: (n, 3) metres in the source camera's frame.
        target: (n, 3) metres in the target camera's frame.
        rotation: (3, 3), translation: (3,) metres, from the one to the other.
        focal: of the target in pixels.

    Returns:
        (n,) metres, and (n,) pixels of the target.
    """
    moved = source @ rotation.T + translation
    apart = (moved - target).norm(dim=1)
    places = [focal * points[:, :2] / points[:, 2:].clamp_min(1e-6) for points in (moved, target)]
    return apart, (places[0] - places[1]).norm(dim=1)
