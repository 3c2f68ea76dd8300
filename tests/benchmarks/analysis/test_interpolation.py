"""Straight lines between weights: barriers and basins known on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.analysis.interpolation import (
    barrier,
    basin,
    distance,
    interpolate,
    rises,
    with_noise,
)

SHARES = np.linspace(0, 1, 101)


def quartic(start: float, end: float) -> np.ndarray:
    """(t² − 1)² along a line."""
    return ((start + SHARES * (end - start)) ** 2 - 1) ** 2


def test_vectors_of_the_specification() -> None:
    assert barrier((0, 0.25, 0.5, 0.75, 1), (0.2, 0.9, 1.4, 1.1, 0.4)) == pytest.approx(1.1)
    assert barrier(SHARES, quartic(-1, 1)) == pytest.approx(1)
    assert barrier(SHARES, quartic(0.8, 1.2)) == 0


def test_a_barrier_is_measured_from_the_line_between_both_ends() -> None:
    tilted = quartic(-1, 1) + 5 * SHARES + 2
    assert barrier(SHARES, tilted) == pytest.approx(1)
    np.testing.assert_allclose(rises(SHARES, 5 * SHARES + 2), 0, atol=1e-12)


@pytest.mark.parametrize(("shares", "losses"), [((0, 1), (1,)), ((0, 0.5), (1, 1)), ((0,), (1,))])
def test_a_line_without_ends_has_no_barrier(shares: tuple, losses: tuple) -> None:
    with pytest.raises(ValueError, match="the first share 0 and the last 1"):
        barrier(shares, losses)


def test_whole_numbers_are_not_interpolated() -> None:
    first = dict(weight=torch.tensor([1.0, 3.0]), num_batches_tracked=torch.tensor(7))
    second = dict(weight=torch.tensor([2.0, 1.0]), num_batches_tracked=torch.tensor(12))
    between = interpolate(first, second, 0.25)
    assert between["weight"].tolist() == [1.25, 2.5]
    assert between["num_batches_tracked"].dtype == torch.int64
    assert int(between["num_batches_tracked"]) == 7
    assert interpolate(first, second, 1.5)["weight"].tolist() == [2.5, 0.0]
    assert distance(first, second, ["weight"]) == pytest.approx(5**0.5)


def test_noise_has_its_length_and_stays_where_it_is_wanted() -> None:
    state = dict(a=torch.zeros(100, 50), b=torch.ones(2000), c=torch.ones(5))
    noisy = with_noise(state, ["a", "b"], length=3.0, seed=0)
    assert distance(state, noisy, ["a", "b"]) == pytest.approx(3, rel=0.03)
    assert noisy["c"] is state["c"] and float(state["a"].abs().max()) == 0
    twice = with_noise(state, ["a", "b"], length=6.0, seed=0)
    torch.testing.assert_close(twice["a"], 2 * noisy["a"])


def test_a_bowl_is_a_basin_and_a_slope_is_none() -> None:
    flat = [1.0, 1.1, 1.0, 0.9]
    bowl = basin(flat, noisy=[1.2, 1.4], outside=[1.5, 1.3])
    assert bowl.epsilon == pytest.approx(0.05) and bowl.holds
    assert bowl.noise_rise == pytest.approx(0.3) and bowl.outside_rise == pytest.approx(0.4)
    assert not basin(flat, noisy=[1.2, 1.4], outside=[2.0, 0.1]).holds  # falls on one side
    assert not basin(flat, noisy=[1.05, 1.1], outside=[1.5, 1.3]).holds  # noise of no effect
