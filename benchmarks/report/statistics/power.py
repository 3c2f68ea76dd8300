"""What a comparison can see at all: the smallest true difference found with 80 % power at 5 %.

A difference d with standard error s is found where |d̂| > c · ŝ, with ŝ² / s² ~ χ²_df / df and c
the critical value: t_{.975, df} of one pair planned before the run, q_{.95; A, df} / √2 of all
pairs of A arms. The effect δ = d / s that is found with power P solves
E_r[Φ(δ − c·r) + Φ(−δ − c·r)] = P for r = ŝ / s. The expectation is an integral over r, as
``scipy.stats.nct`` is not defined far out, where two seeds lie.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import special, stats
from scipy.optimize import brentq

from benchmarks.core.statistics import CONFIDENCE, satterthwaite
from benchmarks.report.statistics.studentized_range import over_scales, range_quantile

POWER = 0.8
MOST_SEEDS = 1000  # more are not looked for
Critical = Callable[[float], float]  # degrees of freedom -> c


def smallest_effect(critical: float, df: float, power: float = POWER) -> float:
    """The difference, in standard errors, that is found with this power.

    Args:
        critical: c above.
        df: degrees of freedom of the standard error.
        power: share of repetitions that find it.
    """
    scale, weights = over_scales(np.float64(df))

    def missing(effect: float) -> float:
        found = special.ndtr(effect - critical * scale) + special.ndtr(-effect - critical * scale)
        return float(weights @ found) - power

    return float(brentq(missing, 0.0, 10 * critical + 10, xtol=1e-10))


@cache
def smallest_of_pair(seeds: int) -> float:
    """What one planned pair shows, in standard deviations of its difference over seeds."""
    df = seeds - 1
    return smallest_effect(stats.t.ppf((1 + CONFIDENCE) / 2, df), df) / np.sqrt(seeds)


@cache
def smallest_of_all(arms: int, seeds: int) -> float:
    """What all pairs of arms show together, in residual standard deviations of arms × seeds."""
    df = (arms - 1) * (seeds - 1)
    return smallest_effect(tukey_critical(arms, df), df) * np.sqrt(2 / seeds)


def tukey_critical(arms: int, df: float) -> float:
    """q_{.95; A, df} / √2: what a difference is compared with, in standard errors."""
    return float(range_quantile(CONFIDENCE, arms, df)) / np.sqrt(2)


def seeds_to_find(
    difference: float,
    *,
    seed_variance: float,
    image_variance: float,
    image_df: float,
    arms: int,
    critical: Critical,
) -> int | None:
    """The fewest seeds with which a true difference is found with 80 % power.

    Args:
        difference: between two arms.
        seed_variance: of the difference of one seed.
        image_variance: of the mean difference, which more seeds do not lessen.
        image_df: its degrees of freedom.
        arms: whose residuals are pooled; 2 where each pair has a spread of its own.
        critical: value for all pairs.

    Returns:
        None where ``MOST_SEEDS`` would not do.
    """

    def is_found(seeds: int) -> bool:
        own = seed_variance / seeds
        df = satterthwaite(own, (arms - 1) * (seeds - 1), image_variance, image_df)
        error = np.sqrt(own + image_variance)
        return bool(smallest_effect(critical(float(df)), float(df)) * error <= abs(difference))

    low, high = 1, 2
    while high < MOST_SEEDS and not is_found(high):
        low, high = high, 2 * high
    high = min(high, MOST_SEEDS)
    if not is_found(high):
        return None
    while high - low > 1:  # too few below, enough above
        middle = (low + high) // 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return high
