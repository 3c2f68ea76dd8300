"""Statistics of features against closed forms and slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from pretrain.hooks.feature_statistics import (
    cell_pair_cosines,
    cells_as_rows,
    effective_rank,
    evenly,
    pair_cosines,
    spread,
    spread_within,
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_spread_closed_forms() -> None:
    assert spread(torch.ones(5, 7) * torch.arange(1, 6)[:, None]) == pytest.approx(0, abs=1e-7)
    both = torch.cat([torch.eye(8), -torch.eye(8)])
    assert spread(both) == pytest.approx(1)
    # n orthogonal rows: the mean has length 1/√n.
    assert spread(torch.eye(4, 9)) == pytest.approx(math.sqrt(1 - 1 / 4))
    assert spread(torch.randn(4000, 16)) == pytest.approx(1, abs=0.01)


def test_spread_is_the_channels_standard_deviation_times_root_d() -> None:
    rows = torch.randn(200, 12).abs()
    unit = F.normalize(rows.double(), dim=1)
    expected = math.sqrt(unit.var(0, unbiased=False).mean()) * math.sqrt(12)
    assert spread(rows) == pytest.approx(expected)
    assert spread(rows * torch.rand(200, 1)) == pytest.approx(expected)  # lengths do not matter
    assert spread(rows @ torch.linalg.qr(torch.randn(12, 12))[0]) == pytest.approx(
        expected, abs=1e-6
    )


def test_squared_spread_is_one_minus_the_mean_cosine() -> None:
    rows = torch.randn(300, 5) + 3
    unit = F.normalize(rows.double(), dim=1)
    assert spread(rows) ** 2 == pytest.approx(1 - float((unit @ unit.T).mean()))


def test_spread_within_sees_maps_that_do_not_know_places() -> None:
    flat = torch.randn(6, 16, 1, 1).expand(6, 16, 4, 5)
    assert spread_within(flat) == pytest.approx(0, abs=1e-6)
    assert spread(cells_as_rows(flat)) > 0.5
    maps = torch.randn(6, 16, 4, 5)
    per_image = [spread(cells_as_rows(m[None])) ** 2 for m in maps]
    assert spread_within(maps) == pytest.approx(math.sqrt(sum(per_image) / 6))


@pytest.mark.parametrize("count", [1, 2, 5, 16])
def test_rank_of_axes_in_both_directions_is_their_number(count: int) -> None:
    axes = torch.eye(16)[:count]
    assert effective_rank(torch.cat([axes, -axes])) == pytest.approx(count)


def test_rank_of_a_simplex_a_point_and_unequal_axes() -> None:
    assert effective_rank(torch.eye(6, 11)) == pytest.approx(5)  # centring takes one dimension
    assert effective_rank(torch.ones(9, 4) * 3) == 0
    # ... also where float32 rounding makes the rows differ in their last digits.
    assert effective_rank(torch.ones(300, 64) + 1e-7 * torch.randn(300, 64)) == 0
    # k rows on ±e1 and one on ±e2: singular values √(2k) and √2.
    rows = torch.cat(
        [torch.tensor([[1.0, 0], [-1, 0]]).repeat(9, 1), torch.tensor([[0.0, 1], [0, -1]])]
    )
    p = torch.tensor([3.0, 1.0]) / 4
    assert effective_rank(rows) == pytest.approx(float((-(p * p.log()).sum()).exp()))


def test_rank_falls_with_the_number_of_directions() -> None:
    full = torch.randn(500, 32)
    assert effective_rank(full) > 25 > effective_rank(full[:, :8] @ torch.randn(8, 32)) > 5


def test_pair_cosines_equal_the_loop() -> None:
    a, b = torch.randn(7, 5), torch.randn(7, 5)
    cosine = [[float(F.cosine_similarity(x, y, dim=0)) for y in b] for x in a]
    same = [cosine[i][i] for i in range(7)]
    other = [cosine[i][j] for i in range(7) for j in range(7) if i != j]
    assert pair_cosines(a, b) == pytest.approx((sum(same) / 7, sum(other) / 42), abs=1e-6)
    assert pair_cosines(torch.eye(4), 2 * torch.eye(4)) == pytest.approx((1, 0))
    assert pair_cosines(torch.ones(3, 4), torch.ones(3, 4)) == pytest.approx((1, 1))


def test_cell_pair_cosines_equal_the_loop() -> None:
    a, b = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 1, 3)
    positives = torch.rand(3, 4, 3) < 0.4
    same, other = [], []
    for i in range(3):
        for j in range(3):
            for m in range(4):
                for n in range(3):
                    value = float(
                        F.cosine_similarity(a[i].flatten(1)[:, m], b[j].flatten(1)[:, n], dim=0)
                    )
                    if i != j:
                        other.append(value)
                    elif positives[i, m, n]:
                        same.append(value)
    actual = cell_pair_cosines(a, b, positives)
    assert actual == pytest.approx((sum(same) / len(same), sum(other) / len(other)), abs=1e-6)
    assert cell_pair_cosines(a, b, torch.zeros_like(positives)) is None


def test_half_precision_is_measured_as_float() -> None:
    rows = torch.randn(64, 8).bfloat16()
    assert spread(rows) == spread(rows.float())
    assert effective_rank(rows) == effective_rank(rows.float())


def test_evenly_takes_spaced_rows_and_no_random_numbers() -> None:
    before = torch.get_rng_state()
    assert evenly(torch.arange(10)[:, None], 4).flatten().tolist() == [0, 2, 5, 7]
    assert evenly(torch.arange(3)[:, None], 4).flatten().tolist() == [0, 1, 2]
    assert torch.equal(before, torch.get_rng_state())
