"""All pairs of arms: the example's numbers, loops, scipy, missing trials."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from benchmarks.report.statistics.pairs import (
    ImageNoise,
    arm_intervals,
    by_holm,
    by_tukey,
    improvement,
    levene,
    mean_square,
    sign_flip,
    with_tukey_p,
)

PAIRS = list(itertools.combinations(range(4), 2))


@pytest.fixture
def values(example: dict[str, tuple[float, ...]]) -> np.ndarray:
    return np.array(list(example.values()))


def test_intervals_of_single_arms(values: np.ndarray) -> None:
    means, halves, shares = arm_intervals(values)
    assert means == pytest.approx(values.mean(1)) and shares.tolist() == [1.0] * 4
    assert halves == pytest.approx([2.112734, 2.593516, 2.488274, 0.625161], abs=5e-7)


def test_the_block_takes_out_what_seeds_share(values: np.ndarray) -> None:
    square, df = mean_square(values)
    assert square == pytest.approx(0.163056, abs=5e-7) and df == 6
    one_way = ((values - values.mean(1, keepdims=True)) ** 2).sum() / 8
    assert one_way == pytest.approx(0.72)
    shifted = values + np.array([5.0, -2.0, 11.0])  # every arm alike, seed by seed
    assert mean_square(shifted)[0] == pytest.approx(square)


def test_tukey_on_blocks(values: np.ndarray) -> None:
    pairs = with_tukey_p(by_tukey(values))
    assert pairs.half[0, 1] == pytest.approx(1.141335, abs=5e-7)
    expected = {(0, 1): 0.093336, (0, 2): 0.009239, (1, 2): 0.000850}
    for place, p in expected.items():
        assert pairs.p[place] == pytest.approx(p, abs=5e-7)
    assert not pairs.apart[0, 1] and pairs.apart[0, 2] and pairs.apart[1, 2]
    # Without the block nothing of this would show.
    plain = stats.tukey_hsd(*values)
    assert plain.pvalue[0, 1] == pytest.approx(0.535451, abs=5e-7)
    assert plain.pvalue[1, 2] == pytest.approx(0.021796, abs=5e-7)


def test_paired_tests_with_holms_correction(values: np.ndarray) -> None:
    pairs = by_holm(values)
    expected = [0.030217, 0.030217, 0.012771, 0.017826, 0.014772, 0.018388]
    assert [pairs.p[place] for place in PAIRS] == pytest.approx(expected, abs=5e-7)
    for first, second in PAIRS:
        plain = stats.ttest_rel(values[first], values[second])
        low, high = plain.confidence_interval(1 - 0.05 / 6)  # Bonferroni's
        assert pairs.half[first, second] == pytest.approx((high - low) / 2)
    assert pairs.apart[np.triu_indices(4, 1)].all()


def test_images_add_their_variance_to_each_pair(values: np.ndarray) -> None:
    """Against the formulas, pair by pair and with scipy's quantile."""
    random = np.random.default_rng(0)
    root = random.normal(size=(4, 4))
    covariance = root @ root.T
    own = np.diag(covariance)
    noise = ImageNoise(own, own[:, None] + own - 2 * covariance, df=99)
    pairs, square = by_tukey(values, noise), mean_square(values)[0]
    for first, second in PAIRS:
        seeds, images = 2 * square / 3, noise.pairs[first, second]
        df = (seeds + images) ** 2 / (seeds**2 / 6 + images**2 / 99)
        quantile = stats.studentized_range.ppf(0.95, 4, df)
        half = quantile / np.sqrt(2) * np.sqrt(seeds + images)
        assert pairs.half[first, second] == pytest.approx(half, rel=1e-7)
    _, halves, shares = arm_intervals(values, noise)
    for arm in range(4):
        seeds, images = values[arm].var(ddof=1) / 3, own[arm]
        df = (seeds + images) ** 2 / (seeds**2 / 2 + images**2 / 99)
        half = stats.t.ppf(0.975, df) * np.sqrt(seeds + images)
        assert halves[arm] == pytest.approx(half) and shares[arm] == seeds / (seeds + images)


def test_missing_trials(values: np.ndarray) -> None:
    """Pairs use the seeds that both have, the spread those that all have."""
    more = np.c_[values, [31.0, 32.0, 29.0, 23.0]]
    more[0, 3] = np.nan
    pairs = by_tukey(more)
    assert pairs.seeds[0, 1] == 3 and pairs.seeds[1, 2] == 4
    assert pairs.difference[0, 1] == pytest.approx((values[0] - values[1]).mean())
    assert pairs.difference[1, 2] == pytest.approx((more[1] - more[2]).mean())
    square = mean_square(values)[0]  # of the first three seeds
    assert pairs.seed_variance[0, 1] == pytest.approx(2 * square / 3)
    assert pairs.seed_variance[1, 2] == pytest.approx(2 * square / 4)
    holm = by_holm(more)
    plain = stats.ttest_rel(more[1], more[2]).pvalue
    assert holm.p[1, 2] >= plain and holm.df[1, 2] == 3 and holm.df[0, 1] == 2


def test_a_pair_without_two_common_seeds_has_no_test() -> None:
    nan = np.nan
    values = np.array([[1.0, 2.0, nan, nan], [nan, 2.5, 4.0, nan], [5.0, 6.5, 7.0, 9.0]])
    pairs = by_holm(values)
    assert np.isnan(pairs.half[0, 1]) and np.isnan(pairs.p[0, 1]) and not pairs.apart[0, 1]
    plain = stats.ttest_rel(values[0, :2], values[2, :2]).pvalue
    other = stats.ttest_rel(values[1, 1:3], values[2, 1:3]).pvalue
    assert plain < other
    assert pairs.p[0, 2] == pytest.approx(2 * plain)  # of two tests, not three
    assert pairs.p[1, 2] == pytest.approx(max(2 * plain, other))


def test_no_spread_tells_nothing() -> None:
    values = np.array([[1.0, 2.0, 3.0], [5.0, 6.0, 7.0], [1.5, 2.5, 3.5]])
    for pairs in (by_tukey(values), by_holm(values)):
        assert np.isnan(pairs.half[0, 1]) and not pairs.apart.any()
    assert levene(values) is None
    assert np.isnan(with_tukey_p(by_tukey(values)).p).all()


def test_levene_rejects_as_often_as_it_says() -> None:
    """1 of 100 with equal spreads, of 15 arms and 3 seeds too; more often with unequal ones."""
    random = np.random.default_rng(1)
    for shape in ((4, 3), (15, 3), (6, 5)):
        draws = random.normal(size=(2000, *shape)) + random.normal(size=(2000, 1, shape[1]))
        share = np.mean([levene(values) < 0.01 for values in draws])
        assert 0.004 < share < 0.018
    draws = random.normal(size=(300, 6, 5)) * np.array([8.0, 1, 1, 1, 1, 1])[:, None]
    assert np.mean([levene(values) < 0.01 for values in draws]) > 0.5


def test_levenes_statistic_is_scipys(values: np.ndarray) -> None:
    """The order of p-values of many tables is that of scipy's W on the residuals."""
    tables = np.random.default_rng(2).normal(size=(50, 4, 3))
    own, plain = [], []
    for table in tables:
        rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
        own.append(levene(table))
        plain.append(stats.levene(*rest, center="mean").statistic)
    assert stats.spearmanr(own, plain).statistic == pytest.approx(-1.0, abs=1e-3)
    assert levene(values[:2]) is None and levene(values[:, :2]) is None


def test_levene_of_residuals_of_one_size() -> None:
    """No arm's are larger than another's, though nothing varies within them."""
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    assert levene(np.outer(signs, signs)) == 1.0
    assert levene(np.outer([3.0, -1.0, -2.0], signs)) == 1e-4


def test_sign_flips(values: np.ndarray) -> None:
    assert sign_flip(values[1] - values[0]) == 0.25
    assert sign_flip(np.array([1.0, -1.0])) == 1.0
    for seeds in (5, 6):
        assert sign_flip(np.ones(seeds)) == 2 ** (1 - seeds)
    difference, count = np.array([0.3, 1.0, -0.2, 0.9]), 0
    for signs in itertools.product((-1, 1), repeat=4):
        count += abs(np.dot(signs, difference)) >= difference.sum() - 1e-12
    assert sign_flip(difference) == count / 16


def test_improvement_counts_pairs_of_runs() -> None:
    assert improvement(np.array([1.0, 2.0]), np.array([1.0, 1.5, 3.0])) == (0.5 + 2) / 6
    first, second = np.random.default_rng(0).normal(size=(2, 7))
    assert improvement(first, second) + improvement(second, first) == pytest.approx(1.0)


def test_shares_of_rounding_errors_are_none() -> None:
    """Values that are all 1 but for rounding have no variance to share out."""
    values = np.array([[1.0, 1.0, 1.0], [0.5, 0.6, 0.7]])
    noise = ImageNoise(arms=np.array([1e-33, 1e-4]), pairs=np.zeros((2, 2)), df=99)
    _, _, shares = arm_intervals(values, noise)
    assert np.isnan(shares[0]) and 0.9 < shares[1] < 1
