"""Does a measure without labels pick a good checkpoint? Rank correlation and regret.

Of the checkpoints of one run, in their order: a measure m and the quality q, higher is better in
both. Checkpoints of one run follow each other, they are no independent draws: intervals over them
are too narrow, and a measure that only rises with time agrees with any quality that does. So the
place in the order is always to be compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.core.statistics import CONFIDENCE

RESAMPLES = 2000
LEAST = 3  # checkpoints; two always agree or disagree wholly


@dataclass(frozen=True)
class Agreement:
    """Kendall's τ_b of a measure with the quality.

    Attributes:
        tau: −1 to 1; NaN where one of them never changes.
        low, high: 95 % interval over checkpoints drawn with replacement (percentiles).
        p: of no association.
    """

    tau: float
    low: float
    high: float
    p: float


def kendall(measure: Sequence[float], quality: Sequence[float]) -> float:
    """Kendall's τ_b: over pairs of checkpoints, those that both order alike minus those that they
    order in opposite ways, corrected for ties. NaN where one of them never changes.
    """
    return float(_weighted(measure, quality, np.ones((1, len(quality))))[0])


def agreement(
    measure: Sequence[float], quality: Sequence[float], *, resamples: int = RESAMPLES, seed: int = 0
) -> Agreement:
    """τ with its interval over checkpoints. Cost O(resamples · n²) for n of them.

    Args:
        measure, quality: of each checkpoint, at least three.
        resamples: draws; those in which one of the two never changes are left out.
        seed: of the draws.
    """
    count = len(quality)
    drawn = np.random.default_rng(seed).integers(count, size=(resamples, count))
    weights = (drawn[:, :, None] == np.arange(count)).sum(1).astype(np.float64)
    taus = _weighted(measure, quality, weights)
    known = taus[np.isfinite(taus)]
    ends = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(known, ends) if len(known) else (np.nan, np.nan)
    p = stats.kendalltau(measure, quality).pvalue
    return Agreement(kendall(measure, quality), float(low), float(high), float(p))


def _weighted(
    measure: Sequence[float], quality: Sequence[float], weights: np.ndarray
) -> np.ndarray:
    """(R,) τ_b of n checkpoints of which each counts as often as ``weights`` (R, n) says; NaN where
    one of the two never changes.
    """
    ones, others = (np.asarray(values, np.float64) for values in (measure, quality))
    first, second = (np.sign(np.subtract.outer(v, v)) for v in (ones, others))  # (n, n)
    sums = []
    for pairs in (first * second, first**2, second**2):
        sums.append(((weights @ pairs) * weights).sum(1))
    alike, of_first, of_second = sums
    norm = np.sqrt(of_first * of_second)
    return np.divide(alike, norm, out=np.full(len(weights), np.nan), where=norm > 0)


@dataclass(frozen=True)
class Choice:
    """What picking by a measure costs, in the unit of the quality.

    Attributes:
        pick: place of the checkpoint that was picked.
        best: place of the best one, the first among equals.
        regret: the best one's quality above that of the pick, ≥ 0.
        gain: the pick's quality above that of the last one; what it is worth to pick at all.
        last_regret: the best one's quality above that of the last one.
        chance_regret: the best one's quality above the mean: of a pick by lot.
    """

    pick: int
    best: int
    regret: float
    gain: float
    last_regret: float
    chance_regret: float


def judge_pick(pick: int, quality: Sequence[float]) -> Choice:
    """Judges a pick.

    Args:
        pick: its place.
        quality: of each checkpoint, in their order.
    """
    values = np.asarray(quality, np.float64)
    best = int(values.argmax())
    return Choice(
        pick,
        best,
        regret=float(values[best] - values[pick]),
        gain=float(values[pick] - values[-1]),
        last_regret=float(values[best] - values[-1]),
        chance_regret=float(values[best] - values.mean()),
    )
