"""Intervals against their closed form and against simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.core.statistics import Interval, interval_of_runs, t_interval


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
        assert not interval.above(Interval(0, 0.1, 3)) and not Interval(0, 0.1, 3).above(interval)
    assert interval_of_runs([3.0, 7.0]) == t_interval([3.0, 7.0])


def test_which_side_is_better_depends_on_the_metric() -> None:
    high, low = Interval(5, 1, 3), Interval(3, 0.9, 3)
    assert high.better_than(low, "higher") and not low.better_than(high, "higher")
    assert low.better_than(high, "lower") and not high.better_than(low, "lower")
    assert not Interval(3, 1.1, 3).better_than(high, "lower")


def test_above_needs_both_intervals_apart() -> None:
    assert Interval(5, 1, 3).above(Interval(3, 0.9, 3))
    assert not Interval(5, 1, 3).above(Interval(3, 1.1, 3))
    assert not Interval(5, None, 1).above(Interval(3, 0.1, 3))
