"""Claims against simulated arms: they hold as often as they say.

Where images count, the simultaneous claims are somewhat conservative: what a seed's trial owes to
its images is in the spread of the seeds too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.report.runs import Sample
from benchmarks.report.statistics.pairs import ImageNoise, arm_intervals, by_holm, by_tukey
from benchmarks.report.statistics.ranking import rank

EQUAL, SPREAD = np.zeros(6), np.array([0.0, 0.5, 1.0, 2.0, 3.0, 3.0])
UPPER = np.triu_indices(6, 1)
REPETITIONS = 4000


def simulate(
    means: np.ndarray, seeds: int, *, images: int = 0, arm_by_image: float = 3.0, seed: int = 0
) -> tuple[np.ndarray, ImageNoise | None]:
    """Values (R, A, S) of arms with residual sd .8 over blocks of sd .5; with images, a mean over
    these, and the variances that the bootstrap of images has in the limit of many draws.
    """
    random = np.random.default_rng(seed)
    shape = (REPETITIONS, len(means), seeds)
    values = means[:, None] + 0.8 * random.normal(size=shape)
    values += 0.5 * random.normal(size=(REPETITIONS, 1, seeds))
    if not images:
        return values, None
    shape = (REPETITIONS, len(means), images)
    fixed = 4.0 * random.normal(size=(REPETITIONS, 1, images))  # some images are easy for all
    fixed = fixed + arm_by_image * random.normal(size=shape)
    mean = fixed.copy()  # over seeds, per image
    for number in range(seeds):
        own = 5.0 * random.normal(size=shape)
        values[..., number] += (fixed + own).mean(-1)
        mean += own / seeds
    covariance = np.einsum("rai,rbi->rab", *[mean - mean.mean(-1, keepdims=True)] * 2)
    covariance /= images * (images - 1)
    own = np.diagonal(covariance, axis1=1, axis2=2)
    return values, ImageNoise(own, own[:, :, None] + own[:, None] - 2 * covariance, images - 1)


def claims(difference: np.ndarray, apart: np.ndarray, means: np.ndarray) -> tuple[float, float]:
    """Share of repetitions in which all rank sets hold the true ranks, and in which any "above" is
    false.
    """
    above = apart & (difference > 0)  # [a, b]: a is said to be above b
    low, high = 1 + above.sum(1), len(means) - above.sum(2)
    best = 1 + (means[None] > means[:, None]).sum(1)
    worst = len(means) - (means[None] < means[:, None]).sum(1)
    false = above & (means[:, None] <= means[None])
    covered = ((low <= best) & (high >= worst)).all(1)
    return float(covered.mean()), float(false.any((1, 2)).mean())


@pytest.mark.parametrize("images", [0, 60])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_and_rank_sets(seeds: int, images: int) -> None:
    values, noise = simulate(EQUAL, seeds, images=images)
    means, halves, _ = arm_intervals(values, noise)
    assert 0.94 < (np.abs(means) <= halves).mean() < 0.97
    pairs = by_tukey(values, noise)
    at_once = (np.abs(pairs.difference) <= pairs.half)[:, UPPER[0], UPPER[1]].all(1).mean()
    assert 0.94 < at_once < (0.985 if images else 0.965)
    covered, false = claims(pairs.difference, pairs.apart, EQUAL)
    assert covered == pytest.approx(at_once) and false <= 0.05
    # Arms that do differ: fewer ways to be wrong.
    pairs = by_tukey(values + SPREAD[:, None], noise)
    covered, false = claims(pairs.difference, pairs.apart, SPREAD)
    assert covered > 0.985 and false < 0.015
    assert pairs.apart[:, 0, 5].mean() > (0.3 if seeds == 3 else 0.6)  # and some are found


def test_few_groups_of_images_are_enough() -> None:
    """10 of them, as CamVid's val part has, with half of the variance theirs."""
    values, noise = simulate(EQUAL, 3, images=10, arm_by_image=1.5)
    means, halves, _ = arm_intervals(values, noise)
    assert 0.94 < (np.abs(means) <= halves).mean() < 0.98
    pairs = by_tukey(values, noise)
    assert claims(pairs.difference, pairs.apart, EQUAL)[1] <= 0.05


def test_paired_tests_hold_where_spreads_differ() -> None:
    """One arm of 5 varies 10 times as much: the pooled spread claims too much, Holm's tests do
    not.
    """
    random = np.random.default_rng(3)
    scale = np.array([8.0, 0.1, 0.1, 0.1, 0.1])[:, None]
    values = scale * random.normal(size=(1000, 5, 4))
    wrong = [by_holm(table).apart.any() for table in values]
    assert np.mean(wrong) <= 0.05
    assert by_tukey(values).apart.any((1, 2)).mean() > 0.05


def test_the_whole_ranking_of_seeds(samples: Callable[..., list[Sample]]) -> None:
    """With Levene's test and its fall-back, as a table does it."""
    values, _ = simulate(EQUAL, 3)
    wrong = []
    for table in values[:400]:
        ranking = rank(samples({str(arm): row for arm, row in enumerate(table)}))
        wrong.append(any(pair.above for pair in ranking.pairs))
    assert np.mean(wrong) <= 0.06  # 5 %, and one standard error of 400


def test_the_whole_ranking_of_seeds_and_images(
    image_samples: Callable[..., list[Sample]],
) -> None:
    """Right and wrong per image: some images are hard for one arm, which seeds alone would take for
    a difference of the arms.
    """
    random, wrong, seeds_only = np.random.default_rng(4), [], []
    for _ in range(150):
        hard = random.normal(size=(3, 1, 60)) + 0.5 * random.normal(size=(1, 1, 60))
        right = (hard + 0.3 * random.normal(size=(3, 3, 60)) > 0).astype(int)
        ranking = rank(image_samples(right))
        assert ranking.images == 60
        wrong.append(any(pair.above for pair in ranking.pairs))
        values = 100 * right.mean(2)
        seeds_only.append(by_tukey(values).apart.any())
    assert np.mean(wrong) <= 0.07 and np.mean(seeds_only) > 0.4
