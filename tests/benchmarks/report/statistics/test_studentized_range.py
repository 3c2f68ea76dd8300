"""The studentised range against scipy's, which integrates adaptively, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.report.statistics.studentized_range import range_quantile, range_sf


@pytest.mark.parametrize("arms", [3, 15])
def test_against_scipy(arms: int) -> None:
    dfs = np.array([1.0, 1.5, 4.0, 28.3])
    quantiles = range_quantile(0.95, arms, dfs)
    expected = [stats.studentized_range.ppf(0.95, arms, df) for df in dfs]
    assert quantiles == pytest.approx(expected, rel=1e-9)
    far = range_sf(1.5 * quantiles, arms, dfs)
    expected = stats.studentized_range.sf(1.5 * quantiles, arms, dfs)
    assert far == pytest.approx(expected, rel=1e-7)


def test_the_vector_of_four_arms_and_six_degrees() -> None:
    assert range_quantile(0.95, 4, 6.0) == pytest.approx(4.895599, abs=5e-7)


def test_of_two_arms_it_is_students_t() -> None:
    """The range of two is |t| √2."""
    dfs = np.array([1.0, 2.0, 3.77, 50.0, math.inf])
    expected = math.sqrt(2) * stats.t.ppf(0.975, dfs)
    assert range_quantile(0.95, 2, dfs) == pytest.approx(expected, rel=1e-9)
    assert range_sf(math.sqrt(2) * 3.0, 2, 7.5) == pytest.approx(2 * stats.t.sf(3.0, 7.5), rel=1e-8)


def test_quantile_and_tail_are_inverse_for_any_degrees() -> None:
    dfs = np.random.default_rng(0).uniform(1, 200, 300)
    assert range_sf(range_quantile(0.95, 6, dfs), 6, dfs) == pytest.approx(0.05, rel=1e-8)


def test_no_range_is_certain() -> None:
    assert range_sf(0.0, 5, 8.0) == pytest.approx(1.0) and range_sf(1e4, 5, 8.0) < 1e-12
