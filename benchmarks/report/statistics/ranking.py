"""Who is above whom: rank sets, tie letters and all pairs of arms in one metric.

x[a, s] is the metric of arm a at seed s; a seed is a block that all arms share. A arms have at
least two seeds each and a number in all of them; others stand outside the ranking. Definitions:

- **Images.** Where all runs keep counts of the same images, M is computed again on 1,000 draws of
  the n images with replacement, the same for all runs: ``default_rng(0).integers(K, size=(1000,
  K))`` for K = n images or, if a record's ``counts["groups"]`` says which belong together, for the
  K groups in the order of their numbers. se_a² is K / (K−1) times the variance (ddof=1) over draws
  of the mean over the arm's seeds, se_ab² likewise of the difference of two arms over the seeds
  that both have; the factor is what a bootstrap of few units lacks. Without counts both are 0 and
  ``images`` is 0.
- **One arm.** Mean over its own S_a seeds ± t_{.975, df} · √(v₁ + v₂), v₁ = s² / S_a with
  S_a − 1 degrees, v₂ = se_a² with K − 1; df by Satterthwaite,
  (v₁ + v₂)² / (v₁² / df₁ + v₂² / df₂).
- **A pair.** Difference of means over the S_ab seeds that both have; of all seeds of each, without
  half and p, where they have none in common.
- **Tukey** (``method="tukey"``). Complete blocks are the S seeds that all A arms have; residuals
  r = x − row mean − column mean + grand mean, ``mse`` = Σr² / ``df``, ``df`` = (A−1)(S−1).
  Per pair v₁ = 2·mse / S_ab with ``df`` degrees, v₂ = se_ab² with K − 1, df_ab by Satterthwaite;
  half = q_{.95; A, df_ab} / √2 · √(v₁ + v₂); p = P(Q_{A, df_ab} ≥ √2 · |difference| / √(v₁ + v₂)).
- **Holm** (``method="holm"``) instead where ``levene_p`` < .01 (:func:`pairs.levene` says how it is
  computed), fewer than two blocks are complete, or the caller knows that spreads are unequal. Per
  pair v₁ = s_d² / S_ab of the paired differences with S_ab − 1 degrees, v₂ as above; p = Holm's of
  the two-sided t with df_ab; half = t_{1 − .05 / (2m), df_ab} · √(v₁ + v₂) for m pairs
  (Bonferroni).
- **Above.** Tukey: |difference| > half. Holm: p < .05. Never where √(v₁ + v₂) ≤ 1e-9 · max |x|:
  nothing tells the spread then, and half and p are None.
- **Rank set.** [1 + arms above, A − arms below]. All hold at once with at least 95 % (Al Mohamad,
  Goeman, van Zwet, "Simultaneous confidence intervals for ranks", Biometrics 2022).
- **Letters.** Arms that share one are not apart (Piepho, "An algorithm for a letter-based
  representation of all-pairwise comparisons", JCGS 2004).
- **Improvement.** Share of seed pairs (s, s′) in which one arm is better, ties ½ (Agarwal et al.,
  "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021).
- **Detectable.** δ · √(v₁ + v₂) of the pair with the (lower) median variance, with its df_ab and
  critical value, δ of :func:`power.smallest_effect`.
- **Seeds to separate.** The fewest S for which that is at most the difference of the two best, with
  v₁ of one seed divided by S, v₂ as it is, and the degrees that S seeds have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from benchmarks.core.statistics import Interval
from benchmarks.report.runs import Run, Sample, sample_of
from benchmarks.report.statistics.grid import Grid, grid_of, image_noise
from benchmarks.report.statistics.letters import tie_letters
from benchmarks.report.statistics.pairs import (
    LEVENE_LEVEL,
    ImageNoise,
    Pairs,
    arm_intervals,
    bonferroni_critical,
    by_holm,
    by_tukey,
    complete_blocks,
    improvement,
    levene,
    mean_square,
    sign_flip,
    with_tukey_p,
)
from benchmarks.report.statistics.power import (
    Critical,
    seeds_to_find,
    smallest_effect,
    tukey_critical,
)
from benchmarks.report.statistics.sentences import sentences_of

_MOST_FLIPPED = 16  # seeds: 65,536 patterns of signs


@dataclass(frozen=True)
class ArmEstimate:
    """One arm of a ranking.

    Attributes:
        arm: its name.
        mean: over its seeds.
        half: half-width of its own 95 % interval (not simultaneous).
        n: seeds.
        low: best rank it may have, 1 is the best of all.
        high: worst rank it may have.
        letters: tie letters; arms that share one are not apart.
        covers: ``seeds`` or ``seeds and images``: chances that ``half`` covers.
        seed_share: share of the seeds in the variance behind ``half``; None where the images' is
            not known.
        image_share: share of the images, likewise.
        seeds_missing: seeds that other arms of the ranking have and this one has not.
    """

    arm: str
    mean: float
    half: float | None
    n: int
    low: int
    high: int
    letters: str
    covers: str
    seed_share: float | None
    image_share: float | None
    seeds_missing: tuple


@dataclass(frozen=True)
class PairEstimate:
    """Two arms of a ranking.

    Attributes:
        first: the one that stands higher in the order.
        second: the other.
        difference: first − second, mean over the seeds that both have.
        half: half-width of its simultaneous 95 % interval; None where nothing tells the spread.
        p: adjusted for all pairs.
        above: name of the better one if the two are apart, else None.
        improvement: share of seed pairs in which ``first`` is better, ties count half.
        comparisons: how many seed pairs that are.
        seeds: that both have.
        sign_flip: exact p of the difference over these seeds by itself, see
            :func:`benchmarks.report.statistics.pairs.sign_flip`.
    """

    first: str
    second: str
    difference: float
    half: float | None
    p: float | None
    above: str | None
    improvement: float
    comparisons: int
    seeds: int
    sign_flip: float | None


@dataclass(frozen=True)
class Ranking:
    """Arms of one metric, and what may be said of their order.

    Attributes:
        column: ``benchmark.metric``.
        better: ``higher`` or ``lower``.
        unit: of the metric.
        arms: the best mean first.
        pairs: all pairs, in that order.
        method: ``tukey`` (one pooled spread) or ``holm`` (paired t-tests, Holm's correction).
        levene_p: of Levene's test for equal spreads; None where it says nothing.
        mse: mean square of the block residuals.
        df: its degrees of freedom.
        images: that the intervals cover; 0: seeds only.
        clusters: groups that the images were drawn in; None: one by one.
        blocks: complete seeds.
        detectable: smallest true difference that is found with 80 % power.
        seeds_to_separate: seeds that would separate the two best with 80 % power; None where they
            are apart, or no number of seeds would do.
        absent: share of the draws of images in which a class occurs nowhere; it is then left out
            of that draw's mean. None without images.
        sentences: what stands below the table.
    """

    column: str
    better: str
    unit: str
    arms: tuple[ArmEstimate, ...]
    pairs: tuple[PairEstimate, ...]
    method: str
    levene_p: float | None
    mse: float | None
    df: float | None
    images: int
    clusters: int | None
    blocks: int
    detectable: float | None
    seeds_to_separate: int | None
    absent: float | None
    sentences: tuple[str, ...] = ()


def rank(samples: Sequence[Sample], *, pooled: bool = True) -> Ranking | None:
    """Ranks the arms that have at least two seeds and a number in each.

    Args:
        samples: one per arm, all of one metric; baselines are no arms.
        pooled: False: never one spread for all arms, as where some do not depend on the seed at
            all.

    Returns:
        None where there are fewer than two such arms: then nothing can be said.
    """
    grid = grid_of(samples)
    if grid is None:
        return None
    noise, images, clusters, absent = image_noise(grid)
    complete = complete_blocks(grid.values)
    blocks = complete.shape[1]
    levene_p = levene(complete) if blocks > 1 else None
    mse, df = mean_square(complete) if blocks > 1 else (None, None)
    is_holm = not pooled or blocks < 2 or (levene_p is not None and levene_p < LEVENE_LEVEL)
    if is_holm:
        pairs = by_holm(grid.values, noise)
    else:
        pairs = with_tukey_p(by_tukey(grid.values, noise))
    run = next(iter(grid.runs[grid.arms[0]].values()))
    estimates = _pairs(grid, pairs)
    detectable, needed = _power(grid, pairs, noise=noise, pooled=not is_holm)
    ranking = Ranking(
        column=run.column(grid.metric),
        better="higher" if grid.sign > 0 else "lower",
        unit=run.record.metrics[grid.metric].unit,
        arms=_arms(grid, estimates, noise),
        pairs=estimates,
        method="holm" if is_holm else "tukey",
        levene_p=levene_p,
        mse=None if mse is None else float(mse),
        df=None if df is None else float(df),
        images=images,
        clusters=clusters,
        blocks=blocks,
        detectable=detectable,
        seeds_to_separate=needed,
        absent=absent,
    )
    return replace(ranking, sentences=sentences_of(ranking))


def rankings_of(
    rows: Mapping[str, Sequence[Run]], columns: Sequence[str], *, pooled: bool = True
) -> dict[str, Ranking]:
    """Column -> what may be said of the order of its rows, of those that can be ranked.

    Args:
        rows: name -> its runs; baselines are no rows.
        columns: of metrics.
        pooled: see :func:`rank`.
    """
    rankings = {}
    for column in columns:
        samples = [sample_of(name, runs, column) for name, runs in rows.items()]
        ranking = rank(samples, pooled=pooled)
        if ranking is not None:
            rankings[column] = ranking
    return rankings


def intervals_of(rankings: Mapping[str, Ranking]) -> dict[str, dict[str, Interval]]:
    """Column -> row -> its own interval, over images too where their counts are kept."""
    intervals: dict[str, dict[str, Interval]] = {}
    for column, ranking in rankings.items():
        own = {arm.arm: Interval(arm.mean, arm.half, arm.n) for arm in ranking.arms}
        intervals[column] = own
    return intervals


def _pairs(grid: Grid, pairs: Pairs) -> tuple[PairEstimate, ...]:
    estimates = []
    for first, second in itertools.combinations(range(len(grid.arms)), 2):
        own, other = grid.values[first], grid.values[second]
        known, common = np.isfinite(own), own - other
        common = common[np.isfinite(common)]
        difference = common.mean() if len(common) else np.nanmean(own) - np.nanmean(other)
        is_better = grid.sign * pairs.difference[first, second] > 0
        above = grid.arms[first if is_better else second]
        estimates.append(
            PairEstimate(
                first=grid.arms[first],
                second=grid.arms[second],
                difference=float(difference),
                half=_known(pairs.half[first, second]),
                p=_known(pairs.p[first, second]),
                above=above if pairs.apart[first, second] else None,
                improvement=improvement(
                    grid.sign * own[known], grid.sign * other[np.isfinite(other)]
                ),
                comparisons=int(known.sum() * np.isfinite(other).sum()),
                seeds=len(common),
                sign_flip=sign_flip(common) if 0 < len(common) <= _MOST_FLIPPED else None,
            )
        )
    return tuple(estimates)


def _arms(
    grid: Grid, pairs: Sequence[PairEstimate], noise: ImageNoise | None
) -> tuple[ArmEstimate, ...]:
    means, halves, shares = arm_intervals(grid.values, noise)
    ties = [(pair.first, pair.second) for pair in pairs if pair.above is not None]
    letters, arms = tie_letters(grid.arms, ties), []
    for row, arm in enumerate(grid.arms):
        winners = [pair.above for pair in pairs if arm in (pair.first, pair.second)]
        lost = sum(winner not in (arm, None) for winner in winners)
        known = np.isfinite(grid.values[row])
        share = None if noise is None else _known(shares[row])
        arms.append(
            ArmEstimate(
                arm=arm,
                mean=float(means[row]),
                half=float(halves[row]),
                n=int(known.sum()),
                low=1 + lost,
                high=len(grid.arms) - winners.count(arm),
                letters=letters[arm],
                covers="seeds" if noise is None else "seeds and images",
                seed_share=share,
                image_share=None if share is None else 1 - share,
                seeds_missing=tuple(itertools.compress(grid.seeds, ~known)),
            )
        )
    return tuple(arms)


def _power(
    grid: Grid, pairs: Pairs, *, noise: ImageNoise | None, pooled: bool
) -> tuple[float | None, int | None]:
    """What these seeds find, and how many would separate the two best; None where nothing tells."""
    count = len(grid.arms)
    upper = np.triu_indices(count, 1)
    variance = (pairs.seed_variance + pairs.image_variance)[upper]
    known = np.isfinite(pairs.half[upper])
    if not known.any():
        return None, None
    critical: Critical = partial(tukey_critical, count)
    if not pooled:
        critical = partial(bonferroni_critical, int(known.sum()))
    places = np.flatnonzero(known)[np.argsort(variance[known], kind="stable")]
    middle = places[(len(places) - 1) // 2]
    df = float(pairs.df[upper][middle])
    detectable = smallest_effect(float(critical(df)), df) * math.sqrt(variance[middle])
    needed = None
    if known[0] and not pairs.apart[0, 1] and pairs.difference[0, 1]:
        needed = seeds_to_find(
            float(pairs.difference[0, 1]),
            seed_variance=float(pairs.seed_variance[0, 1] * pairs.seeds[0, 1]),
            image_variance=float(pairs.image_variance[0, 1]),
            image_df=noise.df if noise else 1.0,
            arms=count if pooled else 2,
            critical=critical,
        )
    return detectable, needed


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
