"""Dense structure: does a map hold clusters that are tight, apart, and of many dimensions?

DSE (dense structure estimation, arXiv 2510.17299) is for choosing a checkpoint without labels. For
L2-normalised cells with k-means labels; cluster j with N_j cells, mean μ_j and centred matrix Z_j:

    M_inter = mean_j mean_{z∈j} min_{i≠j} ‖z − μ_i‖²
    M_intra = mean_j Σσ(Z_j) / (N_j − 1)
    M_dim   = exp(−Σ p·ln p),  p = σ / Σσ of cells that are drawn independently
    DSE     = M_inter − M_intra + λ · M_dim,  λ = std(M_inter − M_intra) / std(M_dim)

with λ over the checkpoints of one run, so that one network has three parts and no DSE. Lengths of
cells do not matter. Pure functions in float64 without gradient; none draws random numbers. This is
the definition as the paper's readers report it; its released code has scalings of its own, so
values cannot be compared with published ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pretrain.clustering import k_means
from pretrain.hooks.feature_statistics import cells_as_rows, entropy_rank, unit_rows


@dataclass(frozen=True)
class Structure:
    """The three parts of one network.

    Attributes:
        inter: squared distance of cells to the nearest cluster that is not theirs, 0 to 4.
        intra: spread inside clusters.
        dimension: effective number of dimensions of cells, at most D.
    """

    inter: float
    intra: float
    dimension: float

    @property
    def class_part(self) -> float:
        """What rewards clusters that are tight and apart."""
        return self.inter - self.intra


def class_parts(cells: Tensor, labels: Tensor) -> tuple[float, float]:
    """M_inter and M_intra of one group of cells.

    A cluster of one cell has no spread. Fewer than two clusters are as collapsed as can be: 0 and
    0.

    Args:
        cells: (n, D) of length 1, float64.
        labels: (n,) int64 from 0 without a gap, as :func:`pretrain.clustering.k_means` gives.
    """
    sizes = torch.bincount(labels)
    if len(sizes) < 2:
        return 0.0, 0.0
    sums = torch.zeros(len(sizes), cells.shape[1]).to(cells).index_add_(0, labels, cells)
    means = sums / sizes[:, None]
    distances = torch.cdist(cells, means, compute_mode="donot_use_mm_for_euclid_dist").square()
    distances.scatter_(1, labels[:, None], torch.inf)
    nearest = torch.zeros_like(means[:, 0]).index_add_(0, labels, distances.min(1).values) / sizes
    spreads = []
    for label, size in enumerate(sizes.tolist()):
        centred = cells[labels == label] - means[label]
        spreads.append(float(torch.linalg.svdvals(centred).sum()) / max(1, size - 1))
    return float(nearest.mean()), sum(spreads) / len(spreads)


def dimension(cells: Tensor) -> float:
    """M_dim of cells (n, D) of any length: neither centred nor weighted by their lengths."""
    return entropy_rank(torch.linalg.svdvals(unit_rows(cells)))


@torch.no_grad()
def group_parts(cells: Tensor, uniforms: Tensor) -> tuple[float, float]:
    """M_inter and M_intra of the cells of one group of images, clustered together.

    Args:
        cells: (n, D) of any length and float dtype.
        uniforms: (k,) in [0, 1), for the starts of k-means; k clusters, 3 per image in the paper.
    """
    unit = unit_rows(cells)
    return class_parts(unit, k_means(unit, uniforms))


def spread_groups(total: int, *, images: int, group: int) -> np.ndarray:
    """(groups, group) numbers of images: evenly spread, those of one group as far apart as can be,
    so that neighbours such as frames of a video do not make a group alike.

    Args:
        total: images there are, at least a group. images: used at most, rounded down to whole
            groups.
        group: images whose cells are clustered together.
    """
    whole = min(total, images) // group
    chosen = np.arange(whole * group) * total // (whole * group)
    return chosen.reshape(group, whole).T


def measure_group(
    maps: Tensor, number: int, *, clusters: int, each: int, seed: int
) -> tuple[tuple[float, float], Tensor]:
    """M_inter and M_intra of one group of images, and the cells that it gives to M_dim.

    What is drawn depends on seed and number alone, so every network is measured at the same places.

    Args:
        maps: (B, D, h, w), one per image of the group.
        number: of the group, from 0.
        clusters: of the group. each: cells of an image that M_dim counts.
        seed: at least 0.

    Returns:
        The two parts, and (B · each, D) cells.
    """
    draw = np.random.default_rng([seed, number])
    uniforms = torch.from_numpy(draw.random(clusters))
    parts = group_parts(cells_as_rows(maps), uniforms)
    return parts, _draw_cells(maps, draw, each=each)


def _draw_cells(maps: Tensor, draw: np.random.Generator, *, each: int) -> Tensor:
    """(B · each, D) cells of maps (B, D, h, w), drawn without replacement from each image."""
    cells = maps.flatten(2).transpose(1, 2)  # (B, N, D)
    chosen = []
    for image in cells:
        places = draw.permutation(len(image))[:each]
        chosen.append(image[torch.from_numpy(places).to(image.device)])
    return torch.cat(chosen)


def estimate(class_part: Sequence[float], dimensions: Sequence[float]) -> np.ndarray:
    """DSE of the checkpoints of one run, in their order: (n,) float64.

    Args:
        class_part: M_inter − M_intra of each.
        dimensions: M_dim of each; where all are equal they tell nothing, and λ is 0.
    """
    classes, ranks = np.asarray(class_part, np.float64), np.asarray(dimensions, np.float64)
    return classes + balance(classes, ranks) * ranks


def balance(class_part: np.ndarray, dimensions: np.ndarray) -> float:
    """λ: what gives both parts, (n,) each, the same spread over the checkpoints of a run."""
    spread = float(np.std(dimensions))
    return float(np.std(class_part)) / spread if spread > 0 else 0.0


def candidates(estimates: Sequence[float], most: int = 3) -> list[int]:
    """The checkpoints that DSE proposes: its local maxima, the highest first.

    The first and the last checkpoint count where they lie above their only neighbour; of equal
    neighbours the first is the maximum.

    Args:
        estimates: DSE by checkpoint, in their order.
        most: so many at most.
    """
    values = np.asarray(estimates, np.float64)
    first = np.flatnonzero(np.diff(values, prepend=np.nan))  # of every stretch of equal values
    heights = np.concatenate([[-np.inf], values[first], [-np.inf]])
    peaks = first[(heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])]
    return sorted(peaks.tolist(), key=lambda place: -values[place])[:most]
