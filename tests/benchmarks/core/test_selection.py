"""Picking checkpoints: rank correlation by counting pairs, regrets known on paper."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks.core.selection import Choice, agreement, judge_pick, kendall


def by_pairs(one: list[float], other: list[float]) -> float:
    """τ_b, counted pair by pair."""
    alike, ties_one, ties_other, pairs = 0, 0, 0, 0
    for i in range(len(one)):
        for j in range(i):
            sign = np.sign(one[i] - one[j]) * np.sign(other[i] - other[j])
            alike += sign
            ties_one += one[i] == one[j]
            ties_other += other[i] == other[j]
            pairs += 1
    return alike / math.sqrt((pairs - ties_one) * (pairs - ties_other))


def test_kendall_counts_pairs() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        one, other = random.integers(0, 6, (2, 9)).astype(float).tolist()
        assert kendall(one, other) == pytest.approx(by_pairs(one, other))
        assert kendall(one, other) == pytest.approx(kendalltau(one, other).statistic)
    assert kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)
    assert math.isnan(kendall([1, 1, 1], [1, 2, 3]))


def test_agreement_has_the_interval_of_drawn_checkpoints() -> None:
    random = np.random.default_rng(1)
    quality = random.random(12)
    measure = quality + 0.5 * random.random(12)
    given = agreement(measure, quality, resamples=400, seed=3)
    draws = np.random.default_rng(3)
    drawn = []
    for chosen in draws.integers(12, size=(400, 12)):
        drawn.append(kendalltau(measure[chosen], quality[chosen]).statistic)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    assert given.tau == pytest.approx(kendall(measure, quality))
    assert (given.low, given.high) == pytest.approx((low, high))
    assert given.low < given.tau < given.high and given.p < 0.05
    assert agreement(measure, quality, resamples=400, seed=3) == given


def test_perfect_agreement_has_no_spread_and_a_constant_none_at_all() -> None:
    perfect = agreement([1, 2, 3, 4, 5], [2, 4, 6, 8, 10], resamples=200)
    assert (perfect.tau, perfect.low, perfect.high) == pytest.approx((1, 1, 1))
    assert perfect.p == pytest.approx(2 / math.factorial(5))  # exact: two of all orders
    constant = agreement([3, 3, 3], [1, 2, 3], resamples=20)
    assert all(map(math.isnan, (constant.tau, constant.low, constant.high)))


def test_a_pick_is_judged_against_best_last_and_lot() -> None:
    expected = Choice(1, 2, regret=3, gain=4, last_regret=7, chance_regret=4)
    assert judge_pick(1, [5, 9, 12, 9, 5]) == expected
    assert judge_pick(2, [5, 9, 12, 9, 5]).regret == 0
    assert judge_pick(0, [7, 7, 7]) == Choice(0, 0, 0, 0, 0, 0)  # the first among equals
