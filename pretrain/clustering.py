"""k-means as pure functions: k-means++ from given uniform numbers, then Lloyd's rounds.

Nothing here draws random numbers, so that whoever clusters during a run does not change it.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Numbers of a table of distances that are made at once: on a CPU as many as stay in its cache, on a
# GPU as many as keep it busy, 256 MB of float64.
_AT_ONCE = {"cpu": 1 << 19}
_AT_ONCE_ELSEWHERE = 1 << 25


def k_means(
    points: Tensor, uniforms: Tensor, *, rounds: int = 20, tolerance: float = 1e-4
) -> Tensor:
    """Labels (n,) int64 of points: :func:`spread_starts`, then :func:`lloyd`.

    Args:
        points: (n, D) float64.
        uniforms: (k,) in [0, 1); k is the number of clusters.
        rounds, tolerance: of :func:`lloyd`.

    Returns:
        Numbers from 0 without a gap; fewer than k clusters where fewer points differ.
    """
    centres, labels = lloyd(
        points, spread_starts(points, uniforms), rounds=rounds, tolerance=tolerance
    )
    # Where as many points are equal as would leave a cluster empty, numbers close up.
    return torch.unique(labels, return_inverse=True)[1]


def spread_starts(points: Tensor, uniforms: Tensor) -> Tensor:
    """k-means++: each next start is drawn with a chance in proportion to the squared distance to
    its nearest start so far (Arthur and Vassilvitskii, 2007).

    Args:
        points: (n, D) float64 or float32.
        uniforms: (k,) float64 in [0, 1), one per start.

    Returns:
        (k, D); fewer rows where every point equals a start already. Cost O(n·k·D).
    """
    first = int(uniforms[0] * len(points))
    starts = [points[first]]
    nearest = (points - starts[0]).square().sum(1)  # (n,)
    for uniform in uniforms[1:]:
        heights = nearest.cumsum(0, dtype=torch.float64)
        if not heights[-1] > 0:
            break
        drawn = torch.searchsorted(heights, uniform.to(heights) * heights[-1], right=True)
        starts.append(points[min(int(drawn), len(points) - 1)])
        nearest = torch.minimum(nearest, (points - starts[-1]).square().sum(1))
    return torch.stack(starts)


def lloyd(
    points: Tensor, starts: Tensor, *, rounds: int = 20, tolerance: float = 1e-4
) -> tuple[Tensor, Tensor]:
    """Lloyd's rounds: every point to its nearest centre, every centre to the mean of its points.

    A cluster that loses all its points takes the point farthest from its own centre. Ends after
    ``rounds``, or when no centre moves by more than ``tolerance``. Sums are float64 whatever the
    points are. Cost O(rounds · n · k · D).

    Args:
        points: (n, D) float64 or float32.
        starts: (k, D) centres to begin with, of the same type, k ≤ n.
        rounds: at most.
        tolerance: a distance, in the points' unit; 0 ends when no point changes its cluster.

    Returns:
        Centres (k, D), and the labels (n,) int64 to which they belong.
    """
    centres = starts
    for _ in range(rounds):
        labels = _assign(points, centres)
        sums = torch.zeros_like(centres, dtype=torch.float64)
        piece = _rows_at_once(points, width=points.shape[1])
        for part, own in zip(points.split(piece), labels.split(piece), strict=True):
            sums.index_add_(0, own, part.double())
        counts = torch.bincount(labels, minlength=len(centres))
        moved = (sums / counts[:, None]).to(points)
        shift = (moved - centres).norm(dim=1).max()
        centres = moved
        if shift <= tolerance:
            break
    return centres, _assign(points, centres)


def _assign(points: Tensor, centres: Tensor) -> Tensor:
    """(n,) the nearest centre of each point, the first among equals; no cluster without a point."""
    nearest, labels = nearest_centres(points, centres)
    for empty in (torch.bincount(labels, minlength=len(centres)) == 0).nonzero().flatten():
        shared = torch.bincount(labels, minlength=len(centres))[labels] > 1
        farthest = torch.where(shared, nearest, -torch.ones_like(nearest)).argmax()
        labels[farthest], nearest[farthest] = empty, 0
    return labels


def nearest_centres(points: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
    """Distance to the nearest centre of each point (n, D), and which one it is, the first among
    equals: (n,) each.
    """
    halves = centres.square().sum(1) / 2
    parts = []
    for part in points.split(_rows_at_once(points, width=len(centres))):
        # |c|²/2 − x·c: what differs among the centres of half the squared distance
        parts.append(torch.addmm(halves, part, centres.T, alpha=-1).min(1))
    least, labels = map(torch.cat, zip(*parts, strict=True))
    return (points.square().sum(1) + 2 * least).clamp_min(0).sqrt(), labels


def _rows_at_once(points: Tensor, *, width: int) -> int:
    return max(1, _AT_ONCE.get(points.device.type, _AT_ONCE_ELSEWHERE) // width)
