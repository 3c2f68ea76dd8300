"""How far features have spread: pure functions of feature vectors, used to notice a collapse.

All of them look at directions only (rows are L2-normalised first; not in RankMe) and compute in
float64 from float32 rows, without gradient and without drawing random numbers, so that watching a
run does not change it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

# Unit vectors in float32 differ by about this much although they mean the same: directions closer
# than that are one.
SAME_DIRECTION = 1e-5


def unit_rows(rows: Tensor) -> Tensor:
    """Returns rows (n, D) of any float dtype with length 1, float64; zero rows stay zero."""
    return F.normalize(rows.detach().double(), dim=1)


def spread(rows: Tensor) -> float:
    """Standard deviation of each channel over L2-normalised rows, averaged (root mean square) over
    channels, times √D.

    1 = spread over all directions like a sphere around 0; 0 = all rows point the same way. It is
    √(1 − |mean|²), so for many rows its square is 1 − the mean cosine of random pairs: 0.1 means an
    average cosine of 0.99.

    Args:
        rows: (n, D), n ≥ 1, float of any kind. Cost O(n·D).
    """
    unit = unit_rows(rows)
    return math.sqrt(float((unit - unit.mean(0)).square().sum(1).mean()))


def spread_within(cells: Tensor) -> float:
    """:func:`spread` of the cells of one image about that image's own mean, root mean square over
    images.

    0 while :func:`spread` is not: the map of an image has become one value, whatever the place.

    Args:
        cells: (B, D, H, W) feature maps. Cost O(B·H·W·D).
    """
    unit = F.normalize(cells.detach().double().flatten(2), dim=1)  # (B, D, N)
    return math.sqrt(float((unit - unit.mean(2, keepdim=True)).square().sum(1).mean()))


def entropy_rank(singular: Tensor, *, floor: float = 0.0) -> float:
    """exp of the entropy of normalised singular values (Roy and Vetterli, 2007).

    p = σ / Σσ + floor, rank = exp(−Σ p·ln p). k equal values give k, a single one gives 1, none or
    zeros only give 0.

    Args:
        singular: (k,) σ ≥ 0, float64.
        floor: added to every p: 1e-7 in RankMe.
    """
    total = singular.sum()
    if not total > 0:
        return 0.0
    p = singular / total + floor
    return float(torch.special.entr(p).sum().exp())


def effective_rank(rows: Tensor) -> float:
    """:func:`entropy_rank` of the centred, L2-normalised rows.

    Points on a line give 1; one point gives 0. At most min(n − 1, D): too few rows hide a high
    rank, never a low one.

    Args:
        rows: (n, D). Cost O(n·D·min(n, D)) time; sub-sample first (:func:`evenly`).
    """
    unit = unit_rows(rows)
    singular = torch.linalg.svdvals(unit - unit.mean(0))
    return entropy_rank(singular[singular > SAME_DIRECTION * math.sqrt(len(unit))])


def rank_me(vectors: Tensor) -> float:
    """RankMe (Garrido et al., 2023): :func:`entropy_rank` of vectors of images (n, D) as they are,
    neither centred nor normalised, with 1e-7 added to every p. Cost O(n·D·min(n, D)).
    """
    return entropy_rank(torch.linalg.svdvals(vectors.detach().double()), floor=1e-7)


def pair_cosines(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Mean cosine of matching rows, and of rows that do not match.

    Args:
        first: (n, D) vectors of one view. second: (n, D) vectors of the other view of the same
            images, in order; n ≥ 2.

    Returns:
        (mean over n positive pairs (i, i), mean over the n·(n − 1) pairs (i, j), i ≠ j). Exact,
        cost O(n·D).
    """
    a, b = unit_rows(first), unit_rows(second)
    matching = float((a * b).sum())
    everything = float(a.sum(0) @ b.sum(0))  # Σ_ij a_i·b_j without the n × n matrix
    n = len(a)
    return matching / n, (everything - matching) / (n * (n - 1))


def cell_pair_cosines(
    first: Tensor, second: Tensor, positives: Tensor
) -> tuple[float, float] | None:
    """Mean cosine of cells that show the same place in two views, and of cells of different images.

    Args:
        first: (B, D, H, W) maps of one view. second: (B, D, H', W') of the other; B ≥ 2.
        positives: (B, N, N') bool, see ``pretrain.geometry.pixel_positives``.

    Returns:
        (mean over all positive pairs, mean over all pairs of cells of different images); None if no
        pair is positive. Exact, cost O(B·N·N'·D).
    """
    count = int(positives.sum())
    if count == 0:
        return None
    a = F.normalize(first.detach().double().flatten(2), dim=1)  # (B, D, N)
    b = F.normalize(second.detach().double().flatten(2), dim=1)
    same_place = float(((a.transpose(1, 2) @ b) * positives).sum()) / count
    sum_a, sum_b = a.sum(2), b.sum(2)  # (B, D)
    images, cells_a, cells_b = len(a), a.shape[2], b.shape[2]
    other_image = float(sum_a.sum(0) @ sum_b.sum(0) - (sum_a * sum_b).sum())
    return same_place, other_image / (images * (images - 1) * cells_a * cells_b)


def cells_as_rows(maps: Tensor) -> Tensor:
    """(B, D, H, W) -> (B·H·W, D)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def evenly(rows: Tensor, limit: int) -> Tensor:
    """Returns at most ``limit`` rows, evenly spaced over (n, …): a sub-sample that draws no random
    numbers.
    """
    if len(rows) <= limit:
        return rows
    # Rounding down a step that is no integer avoids picking the same column of every map.
    return rows[
        (torch.arange(limit, dtype=torch.float64) * (len(rows) / limit)).long().to(rows.device)
    ]
