"""The parts of DSE: by the specification's vectors, by loops, and in cases known on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.clustering import k_means
from pretrain.hooks.dense_structure import (
    Structure,
    balance,
    candidates,
    class_parts,
    dimension,
    estimate,
    group_parts,
)
from pretrain.hooks.feature_statistics import rank_me

LABELS = torch.tensor([0, 0, 1, 1, 2, 2]).repeat(2)  # of six cells in each of two images
THIRDS = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)


def sines(phase: float, *shape: int) -> Tensor:
    """The entries sin(0.3·t² + phase), t = 1, 2, … in row-major order, as in the vectors."""
    t = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return torch.sin(0.3 * t * t + phase).reshape(shape)


@pytest.fixture
def cells() -> Tensor:
    """(12, 3): the vectors' cells, near three axes."""
    axes = torch.eye(3, dtype=torch.float64)[LABELS]
    return F.normalize(axes + 0.2 * sines(0, 2, 6, 3).flatten(0, 1), dim=1)


def parts(cells: Tensor) -> Structure:
    return Structure(*class_parts(cells, LABELS), dimension(cells))


def test_the_three_parts_of_the_vectors(cells: Tensor) -> None:
    structure = parts(cells)
    assert structure.inter == pytest.approx(1.740711, abs=1e-6)
    assert structure.intra == pytest.approx(0.144805, abs=1e-6)
    assert structure.dimension == pytest.approx(2.987714, abs=1e-6)
    assert structure.class_part == pytest.approx(1.595905, abs=2e-6)


@pytest.mark.parametrize(
    ("share", "class_part", "dimensions"), [(0.3, 1.161429, 2.941460), (0.6, 0.542968, 2.694413)]
)
def test_cells_that_move_together_lose_structure(
    cells: Tensor, share: float, class_part: float, dimensions: float
) -> None:
    moved = F.normalize(cells + share * (cells.mean(0) - cells), dim=1)
    assert parts(moved).class_part == pytest.approx(class_part, abs=1e-6)
    assert parts(moved).dimension == pytest.approx(dimensions, abs=1e-6)


def test_k_means_finds_the_clusters_of_the_vectors(cells: Tensor) -> None:
    labels = k_means(cells, THIRDS)
    assert labels.tolist() == LABELS.tolist()
    means = torch.stack([cells[labels == label].mean(0) for label in range(3)])
    assert (cells - means[labels]).square().sum().item() == pytest.approx(0.334526, abs=6e-7)
    inter, intra = group_parts(7 * cells.float(), THIRDS)  # lengths do not matter
    assert (inter, intra) == pytest.approx((1.740711, 0.144805), abs=1e-5)


def test_parts_equal_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    cells = F.normalize(torch.randn(30, 5, generator=generator, dtype=torch.float64), dim=1)
    labels = torch.arange(30) % 4
    inter, intra = [], []
    means = [cells[labels == label].mean(0) for label in range(4)]
    for label in range(4):
        own = cells[labels == label]
        others = [mean for other, mean in enumerate(means) if other != label]
        nearest = []
        for cell in own:
            nearest.append(min(float((cell - mean).square().sum()) for mean in others))
        inter.append(sum(nearest) / len(nearest))
        singular = np.linalg.svd((own - means[label]).numpy(), compute_uv=False)
        intra.append(singular.sum() / (len(own) - 1))
    assert class_parts(cells, labels) == pytest.approx((np.mean(inter), np.mean(intra)))


def test_points_on_axes_are_known_on_paper() -> None:
    cells = torch.eye(4, dtype=torch.float64).repeat_interleave(3, 0)
    inter, intra = group_parts(cells, torch.full((4,), 0.5, dtype=torch.float64))
    assert (inter, intra) == pytest.approx((2, 0)) and dimension(cells) == pytest.approx(4)


def test_turning_all_cells_changes_nothing(cells: Tensor) -> None:
    turn = torch.linalg.qr(sines(1, 3, 3))[0]
    before, after = parts(cells), parts(cells @ turn)
    assert (after.inter, after.intra) == pytest.approx((before.inter, before.intra))
    assert after.dimension == pytest.approx(before.dimension)


def test_one_value_everywhere_has_no_structure() -> None:
    assert group_parts(torch.ones(20, 4), THIRDS) == (0, 0)
    assert dimension(torch.ones(20, 4)) == pytest.approx(1)
    lonely = torch.eye(3, dtype=torch.float64)  # a cluster per cell has no spread
    assert class_parts(lonely, torch.arange(3)) == pytest.approx((2, 0))


def test_rank_me_of_the_vectors() -> None:
    assert rank_me(sines(0, 5, 3)) == pytest.approx(2.927137, abs=2e-6)
    assert rank_me(torch.eye(4)) == pytest.approx(4, abs=1e-5)


def test_rank_alone_points_the_wrong_way(cells: Tensor) -> None:
    """Random directions have nearly the highest rank, and no clusters."""
    noise = torch.randn(200, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert dimension(noise) == pytest.approx(31.4, abs=0.2)
    blocks = torch.eye(32, dtype=torch.float64)[:8].repeat(25, 1)
    uniforms = torch.rand(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    random, clustered = (group_parts(rows, uniforms) for rows in (noise, blocks))
    assert clustered[0] - clustered[1] > random[0] - random[1] + 0.5


def test_the_balance_of_the_vectors() -> None:
    classes, ranks = [0.10, 0.30, 0.25, 0.28, 0.20], [40, 50, 60, 52, 45]
    assert balance(np.array(classes), np.array(ranks)) == pytest.approx(0.0105983, abs=1e-7)
    expected = [0.523932, 0.829915, 0.885898, 0.831112, 0.676923]
    assert estimate(classes, ranks) == pytest.approx(expected, abs=1e-6)
    assert candidates(estimate(classes, ranks)) == [2]


def test_dimensions_that_never_change_are_left_out() -> None:
    assert estimate([0.1, 0.4], [7, 7]).tolist() == [0.1, 0.4]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], [2]),
        ([3, 2, 1], [0]),
        ([1, 5, 2, 9, 3, 7, 0, 6], [3, 5, 7]),
        ([1, 2, 2, 3, 3, 1], [3]),
        ([4, 4, 1, 4, 4], [0, 3]),
        ([2], [0]),
    ],
)
def test_candidates_are_local_maxima(values: list[float], expected: list[int]) -> None:
    assert candidates(values) == expected
