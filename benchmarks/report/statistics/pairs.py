"""All pairs of arms: differences, their spread, and which of them are apart.

``values`` is (…, A, S): arms × seeds, NaN where a trial is missing; simulations may put further
axes in front, if nothing is missing. Entry [a, b] of an array (…, A, A) is about a − b.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import stats

from benchmarks.core.statistics import CONFIDENCE, holm, satterthwaite
from benchmarks.report.statistics.studentized_range import range_quantile, range_sf

LEVENE_LEVEL = 0.01  # below this share by chance, the arms' spreads are taken for different
_DRAWS = 9_999
_ROUNDING = 1e-9  # deviations smaller than this share of the values are none


@dataclass(frozen=True)
class ImageNoise:
    """How far other images would move the means over seeds.

    Attributes:
        arms: (…, A) variances of the arms' means.
        pairs: (…, A, A) variances of their differences.
        df: degrees of freedom of both: images or groups of them, less 1.
    """

    arms: np.ndarray
    pairs: np.ndarray
    df: float


@dataclass(frozen=True)
class Pairs:
    """Differences of all pairs.

    Attributes:
        difference: (…, A, A) means over the seeds that both have; NaN where there is none.
        seeds: (…, A, A) how many these are.
        seed_variance: (…, A, A) of the mean difference, from seeds.
        image_variance: likewise, from images; 0 where they are not known.
        df: (…, A, A) of their sum, by Satterthwaite.
        half: (…, A, A) of the simultaneous 95 % interval; NaN where nothing tells the spread.
        apart: (…, A, A) bool: whether that interval excludes 0; with Holm, whether p < 5 %.
        p: (…, A, A) adjusted for all pairs; None unless asked for.
    """

    difference: np.ndarray
    seeds: np.ndarray
    seed_variance: np.ndarray
    image_variance: np.ndarray
    df: np.ndarray
    half: np.ndarray
    apart: np.ndarray
    p: np.ndarray | None = None


def block_residual(values: np.ndarray) -> np.ndarray:
    """What arms and seeds do not explain: x − row mean − column mean + grand mean, (…, A, S).

    Args:
        values: without missing ones.
    """
    rows, columns = values.mean(-1, keepdims=True), values.mean(-2, keepdims=True)
    return values - rows - columns + values.mean((-2, -1), keepdims=True)


def mean_square(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Mean square (…) of the block residual, and its degrees of freedom (A − 1)(S − 1)."""
    df = (values.shape[-2] - 1) * (values.shape[-1] - 1)
    return (block_residual(values) ** 2).sum((-2, -1)) / df, df


def complete_blocks(values: np.ndarray) -> np.ndarray:
    """(A, S) -> the columns of the seeds that all arms have."""
    return values[..., np.isfinite(values).reshape(-1, values.shape[-1]).all(0)]


def levene(values: np.ndarray) -> float | None:
    """Levene's test for one spread of all arms, on the residuals of complete blocks (A, S).

    W compares the arms' mean |residual|, as Levene's one-way F does. With few seeds F is no good
    approximation of its distribution under one spread (at 1 % it rejects 11 % of tables of 15 arms
    and 3 seeds), but this depends on A and S alone: p = (1 + number of W* ≥ W) / 10,000, over
    9,999 tables of independent normal numbers, ``default_rng(0).normal(size=(9999, A, S))``.

    Returns:
        None for fewer than three arms or seeds, whose residuals are each other's mirror images, and
        where there are no residuals.
    """
    if min(values.shape) < 3 or is_nothing(block_residual(values).std(), values):
        return None
    drawn = _levene_null(*values.shape)
    return float((1 + (drawn >= _levene_statistic(values) * (1 - 1e-12)).sum()) / (len(drawn) + 1))


def _levene_statistic(values: np.ndarray) -> np.ndarray:
    arms, seeds = values.shape[-2:]
    size = np.abs(block_residual(values))
    means = size.mean(-1, keepdims=True)
    between = seeds * ((means - size.mean((-2, -1), keepdims=True)) ** 2).sum((-2, -1))
    within = ((size - means) ** 2).sum((-2, -1))
    unequal = np.where(between > 0, np.inf, 0.0)  # each arm's residuals of one size, as may happen
    ratio = np.divide(between, within, out=unequal, where=within > 0)
    return ratio * arms * (seeds - 1) / (arms - 1)


@cache
def _levene_null(arms: int, seeds: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return _levene_statistic(random.normal(size=(_DRAWS, arms, seeds)))


def is_nothing(deviation: np.ndarray | float, values: np.ndarray) -> np.ndarray:
    """Whether deviations (…) are no more than rounding errors of the values."""
    return np.asarray(deviation) <= _ROUNDING * np.nanmax(np.abs(values))


def by_tukey(values: np.ndarray, noise: ImageNoise | None = None) -> Pairs:
    """Tukey's simultaneous intervals on the randomised block, one spread for all arms."""
    arms = values.shape[-2]
    difference, seeds, _ = _differences(values)
    square, df = mean_square(complete_blocks(values))
    seed_variance = 2 * square[..., None, None] / np.maximum(seeds, 1)
    variance, image_variance, dfs = _with_images(seed_variance, df, noise)
    error = _error(np.where(seeds > 0, variance, np.nan), values)
    half = range_quantile(CONFIDENCE, arms, dfs) / np.sqrt(2) * error
    apart = np.abs(difference) > half
    return Pairs(difference, seeds, seed_variance, image_variance, dfs, half, apart)


def with_tukey_p(pairs: Pairs) -> Pairs:
    """The same pairs with p = P(Q_{A, df} ≥ √2 |difference| / standard error)."""
    arms = pairs.difference.shape[-1]
    error = pairs.half / range_quantile(CONFIDENCE, arms, pairs.df) * np.sqrt(2)
    known = np.isfinite(error)
    size = np.abs(pairs.difference[known]) / error[known]
    p = np.full(error.shape, np.nan)
    p[known] = range_sf(np.sqrt(2) * size, arms, pairs.df[known])
    return replace(pairs, p=p)


def by_holm(values: np.ndarray, noise: ImageNoise | None = None) -> Pairs:
    """A paired t-test per pair, each with a spread of its own, with Holm's correction; (A, S) only.

    The intervals are Bonferroni's, which hold simultaneously and are never narrower than Holm's
    tests need.
    """
    difference, seeds, deviation = _differences(values)
    many = seeds > 1
    seed_variance = np.divide(deviation**2, seeds, out=np.full(seeds.shape, np.nan), where=many)
    own_df = np.maximum(seeds - 1, 1)
    variance, image_variance, df = _with_images(seed_variance, own_df, noise)
    error = _error(variance, values)
    first, second = np.triu_indices(len(values), 1)
    asked = np.isfinite(error[first, second])
    first, second = first[asked], second[asked]
    p, half = np.full(error.shape, np.nan), np.full(error.shape, np.nan)
    size = np.abs(difference[first, second]) / error[first, second]
    adjusted = holm(2 * stats.t.sf(size, df[first, second]))
    p[first, second] = p[second, first] = adjusted
    critical = bonferroni_critical(max(1, len(first)), df[first, second])
    half[first, second] = half[second, first] = critical * error[first, second]
    apart = p < 1 - CONFIDENCE
    return Pairs(difference, seeds, seed_variance, image_variance, df, half, apart, p)


def bonferroni_critical(pairs: int, df: np.ndarray | float) -> np.ndarray:
    """t_{1 − .05 / (2 · pairs), df}."""
    return stats.t.isf((1 - CONFIDENCE) / (2 * pairs), df)


def arm_intervals(
    values: np.ndarray, noise: ImageNoise | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each arm's own mean and 95 % interval, not simultaneous.

    Returns:
        Means, half-widths t_{.975, df} · √(s² / n + se²), and the share of the seeds in that
        variance (NaN where it is none but for rounding), each (…, A). n are the arm's own seeds, at
        least two.
    """
    seeds = np.isfinite(values).sum(-1)
    seed_variance = np.nanvar(values, axis=-1, ddof=1) / seeds
    image_variance = np.zeros(seed_variance.shape) if noise is None else noise.arms
    df = satterthwaite(seed_variance, seeds - 1, image_variance, noise.df if noise else np.inf)
    variance = seed_variance + image_variance
    half = stats.t.ppf((1 + CONFIDENCE) / 2, df) * np.sqrt(variance)
    some = ~is_nothing(np.sqrt(variance), values)
    share = np.divide(seed_variance, variance, out=np.full(variance.shape, np.nan), where=some)
    return np.nanmean(values, axis=-1), half, share


def sign_flip(difference: np.ndarray) -> float:
    """Exact p of a mean difference over seeds (S,): the share of all 2^S patterns of signs whose
    mean is at least as far from 0. It assumes symmetry alone, and cannot fall below 2^(1 − S).
    """
    seeds = len(difference)
    signs = 1 - 2 * ((np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1)
    sums, own = np.abs(signs @ difference), abs(difference.sum())
    return float((sums >= own - _ROUNDING * np.abs(difference).sum()).mean())


def improvement(first: np.ndarray, second: np.ndarray) -> float:
    """Share of pairs of runs (n,), (m,) in which the first is larger, ties count half."""
    larger, equal = first[:, None] > second, first[:, None] == second
    return float((larger + equal / 2).mean())


def _differences(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean differences, seeds that both have, and standard deviations over these; (…, A, A)."""
    each = values[..., :, None, :] - values[..., None, :, :]  # (…, A, A, S)
    known = np.isfinite(each)
    seeds = known.sum(-1)
    each = np.where(known, each, 0.0)
    mean = np.divide(each.sum(-1), seeds, out=np.full(seeds.shape, np.nan), where=seeds > 0)
    rest = np.where(known, each - mean[..., None], 0.0)
    return mean, seeds, np.sqrt((rest**2).sum(-1) / np.maximum(seeds - 1, 1))


def _with_images(
    seed_variance: np.ndarray, seed_df: np.ndarray | float, noise: ImageNoise | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance with that of the images, the latter, and degrees of freedom."""
    if noise is None:
        df = np.broadcast_to(np.asarray(seed_df, np.float64), seed_variance.shape)
        return seed_variance, np.zeros(seed_variance.shape), df
    df = satterthwaite(seed_variance, seed_df, noise.pairs, noise.df)
    return seed_variance + noise.pairs, noise.pairs, df


def _error(variance: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Standard errors; NaN where there is no spread to speak of: then nothing is known of it."""
    error = np.sqrt(variance)
    return np.where(is_nothing(error, values), np.nan, error)
