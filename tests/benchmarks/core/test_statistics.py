"""Intervals against their closed form and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.core.statistics import Interval, holm, interval_of_runs, satterthwaite, t_interval


def test_two_values_have_a_closed_form() -> None:
    """With n = 2 the t distribution is Cauchy's: t = tan(π·0.95/2), s/√2 = |a − b|/2."""
    interval = t_interval([3.0, 7.0])
    assert interval.mean == 5.0 and interval.n == 2
    assert interval.half == pytest.approx(math.tan(math.pi * 0.95 / 2) * 2.0, rel=1e-12)


def test_three_values_have_a_closed_form() -> None:
    """With 2 degrees of freedom t_p = (2p − 1)·√(2 / (1 − (2p − 1)²)), with 2p − 1 = 0.95: 4.30."""
    interval = t_interval([1.0, 2.0, 6.0])
    deviation = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 2)
    assert interval.mean == pytest.approx(3.0)
    assert interval.half == pytest.approx(
        0.95 * math.sqrt(2 / (1 - 0.95**2)) * deviation / math.sqrt(3), rel=1e-12
    )


def test_interval_covers_the_mean_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(10.0, 3.0, (2000, 4))
    covered = [abs(i.mean - 10.0) <= i.half for i in map(t_interval, draws.tolist())]
    assert 0.935 < np.mean(covered) < 0.965


def test_shift_moves_and_scale_stretches() -> None:
    values = [1.0, 4.0, 4.5, 9.0]
    base, moved = t_interval(values), t_interval([-2 * v + 7 for v in values])
    assert moved.mean == pytest.approx(-2 * base.mean + 7) and moved.half == pytest.approx(
        2 * base.half
    )


def test_one_value_has_no_interval_and_none_is_an_error() -> None:
    assert t_interval([4.0]) == Interval(4.0, None, 1)
    assert t_interval([4.0]).text() == "4.00" and Interval(4.0, 0.5, 2).text(1) == "4.0 ± 0.5"
    for values in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="all finite"):
            t_interval(values)


def test_a_run_without_a_value_leaves_no_mean() -> None:
    for values in ([1.0, math.nan], [math.inf, 1.0, 2.0]):
        interval = interval_of_runs(values)
        assert math.isnan(interval.mean) and interval.half is None and interval.n == len(values)
        assert interval.text() == "not defined" and not interval.defined
    assert interval_of_runs([3.0, 7.0]) == t_interval([3.0, 7.0])


def test_satterthwaite_by_its_vector_and_its_limits() -> None:
    """v₁ = .24 of 3 seeds, v₂ = .09 of 100 images: df 3.770538, half-width 1.633965."""
    df = satterthwaite(0.24, 2, 0.09, 99)
    assert df == pytest.approx(3.770538, abs=5e-7)
    assert stats.t.ppf(0.975, df) * math.sqrt(0.24 + 0.09) == pytest.approx(1.633965, abs=5e-7)
    # One variance alone has its own degrees; two equal ones of equal degrees have twice as many.
    parts = satterthwaite(
        [0.24, 0.0, 1.0, 0.0], [2, 2, 7, 5], [0.0, 0.09, 1.0, 0.0], [99, 99, 7, 9]
    )
    assert parts.tolist() == pytest.approx([2, 99, 14, 5])


def test_holm_multiplies_by_the_questions_that_are_left() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0] and holm([]).size == 0
