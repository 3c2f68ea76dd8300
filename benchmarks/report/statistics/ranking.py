"""Who is above whom: rank sets, tie letters and all pairs of arms in one metric.

x[a, s] is the metric of arm a at seed s; a seed is a block that all arms share. Definitions, with
A arms of at least two seeds each and S complete blocks (seeds that all A arms have):

- **One arm**: mean over its own n seeds ± t_{.975, n−1} · sd / √n.
- **A pair**: difference of means over the S_ab seeds that both have.
- **Tukey** (``method="tukey"``): residuals r = x − row mean − column mean + grand mean of the
  complete blocks, MSE = Σr² / ((A−1)(S−1)), df = (A−1)(S−1); half = q_{.95; A, df} · √(MSE / S_ab);
  p = P(Q_{A, df} ≥ |difference| / √(MSE / S_ab)).
- **Above**: the simultaneous interval of the difference excludes 0, on the better side.
- **Rank set**: [1 + arms above, A − arms below]. All hold at once with at least 95 % (Al Mohamad,
  Goeman, van Zwet, "Simultaneous confidence intervals for ranks", Biometrics 2022).
- **Letters**: arms that share one are not apart (Piepho, "An algorithm for a letter-based
  representation of all-pairwise comparisons", JCGS 2004).
- **Improvement**: share of seed pairs (s, s′) in which one arm is better, ties ½ (Agarwal et al.,
  "Deep reinforcement learning at the edge of the statistical precipice", NeurIPS 2021).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from benchmarks.core.statistics import CONFIDENCE, t_interval
from benchmarks.report.runs import Sample


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
        seed_share: share of the seeds in the variance behind ``half``.
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
        half: half-width of its simultaneous 95 % interval.
        p: adjusted for all pairs.
        above: name of the better one if the two are apart, else None.
        improvement: share of seed pairs in which ``first`` is better, ties count half.
        comparisons: how many seed pairs that are.
    """

    first: str
    second: str
    difference: float
    half: float | None
    p: float | None
    above: str | None
    improvement: float
    comparisons: int


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
    sentences: tuple[str, ...]


def rank(samples: Sequence[Sample]) -> Ranking | None:
    """Ranks the arms that have at least two seeds and a number in each.

    Args:
        samples: one per arm, all of one metric; baselines are no arms.

    Returns:
        None where fewer than two such arms share fewer than two seeds: then nothing can be said.
    """
    values = {sample.name: _by_seed(sample) for sample in samples}
    values = {arm: own for arm, own in values.items() if _is_ranked(own)}
    blocks = sorted(set.intersection(*map(set, values.values()))) if values else []
    if len(values) < 2 or len(blocks) < 2:
        return None
    sample = next(sample for sample in samples if sample.name in values)
    metric, sign = sample.runs[0].record.metrics[sample.metric], 1
    if metric.better == "lower":
        sign = -1
    order = sorted(values, key=lambda arm: -sign * np.mean(list(values[arm].values())))
    table = np.array([[values[arm][seed] for seed in blocks] for arm in order])
    mse, df = block_residual(table)
    pairs = []
    for first, second in itertools.combinations(order, 2):
        pairs.append(_pair(first, second, values, spread=(mse, df, len(order)), sign=sign))
    arms = _arms(order, values, pairs)
    return Ranking(
        column=sample.runs[0].column(sample.metric),
        better=metric.better,
        unit=metric.unit,
        arms=arms,
        pairs=tuple(pairs),
        method="tukey",
        levene_p=None,
        mse=mse,
        df=df,
        images=0,
        clusters=None,
        blocks=len(blocks),
        detectable=None,
        seeds_to_separate=None,
        sentences=(),
    )


def block_residual(table: np.ndarray) -> tuple[float, float]:
    """Mean square and degrees of freedom of what arms and seeds do not explain.

    Args:
        table: (arms, seeds).
    """
    arms, seeds = table.shape
    rest = table - table.mean(1, keepdims=True) - table.mean(0, keepdims=True) + table.mean()
    df = (arms - 1) * (seeds - 1)
    return float((rest**2).sum() / df), float(df)


def _by_seed(sample: Sample) -> dict:
    return {
        run.pair: run.record.metrics[sample.metric].value
        for run in sample.runs
        if run.pair is not None
    }


def _is_ranked(values: Mapping) -> bool:
    return len(values) > 1 and all(map(math.isfinite, values.values()))


@cache
def _quantile(arms: int, df: float) -> float:
    return float(stats.studentized_range.ppf(CONFIDENCE, arms, df))


def _pair(first: str, second: str, values: Mapping, *, spread: tuple, sign: int) -> PairEstimate:
    mse, df, arms = spread
    common = sorted(set(values[first]) & set(values[second]))
    difference = float(np.mean([values[first][s] - values[second][s] for s in common]))
    scale = math.sqrt(mse / len(common))
    half = _quantile(arms, df) * scale
    own = np.array(list(values[first].values()))[:, None] * sign
    other = np.array(list(values[second].values()))[None] * sign
    above = None
    if abs(difference) > half:
        above = first if difference * sign > 0 else second
    return PairEstimate(
        first=first,
        second=second,
        difference=difference,
        half=half,
        p=float(stats.studentized_range.sf(abs(difference) / scale, arms, df)) if scale else None,
        above=above,
        improvement=float(((own > other) + (own == other) / 2).mean()),
        comparisons=own.size * other.size,
    )


def _arms(order: Sequence[str], values: Mapping, pairs: Sequence[PairEstimate]) -> tuple:
    seeds, letters = sorted(set().union(*values.values())), tie_letters(order, pairs)
    arms = []
    for arm in order:
        own = t_interval(list(values[arm].values()))
        apart = [pair.above for pair in pairs if pair.above and arm in (pair.first, pair.second)]
        arms.append(
            ArmEstimate(
                arm=arm,
                mean=own.mean,
                half=own.half,
                n=own.n,
                low=1 + sum(winner != arm for winner in apart),
                high=len(order) - sum(winner == arm for winner in apart),
                letters=letters[arm],
                covers="seeds",
                seed_share=1.0,
                image_share=0.0,
                seeds_missing=tuple(seed for seed in seeds if seed not in values[arm]),
            )
        )
    return tuple(arms)


def tie_letters(order: Sequence[str], pairs: Sequence[PairEstimate]) -> dict[str, str]:
    """Letters by insertion and absorption: two arms share one exactly if they are not apart.

    Args:
        order: names of the arms; letters begin with the first.
        pairs: all pairs.
    """
    groups = [frozenset(order)]
    for pair in pairs:
        if pair.above is None:
            continue
        split = []
        for group in groups:
            if {pair.first, pair.second} <= group:
                split += [group - {pair.first}, group - {pair.second}]
            else:
                split.append(group)
        groups = [g for g in dict.fromkeys(split) if not any(g < other for other in split)]
    groups.sort(key=lambda group: sorted(map(order.index, group)))
    names = itertools.chain("ABCDEFGHIJKLMNOPQRSTUVWXYZ", itertools.count(27))
    letters = dict.fromkeys(order, "")
    for name, group in zip(names, groups, strict=False):
        for arm in order:
            letters[arm] += str(name) if arm in group else ""
    return letters
