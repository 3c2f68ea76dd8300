"""Means with intervals over seeds, and what their combination needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """Mean of ``n`` runs and the half-width of its interval; ``half`` is None for fewer than two
    runs.

    The mean is NaN and has no half-width where a run has no value.
    """

    mean: float
    half: float | None
    n: int

    @property
    def defined(self) -> bool:
        """Whether there is a mean."""
        return math.isfinite(self.mean)

    def text(self, digits: int = 2) -> str:
        """``mean ± half``, the mean alone, or ``not defined``."""
        if not self.defined:
            return "not defined"
        return f"{self.mean:.{digits}f}" + (
            "" if self.half is None else f" ± {self.half:.{digits}f}"
        )


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of a mean: x̄ ± t_{(1+c)/2, n−1} · s / √n, with s the sample standard
    deviation (n − 1).

    It assumes that runs differ by their seed alone and about normally. With two seeds t is 12.7:
    such an interval is honest and wide.

    Args:
        values: one number per run.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"values={list(values)}: need at least one, all finite")
    if array.size == 1:
        return Interval(float(array[0]), None, 1)
    quantile = stats.t.ppf((1 + confidence) / 2, array.size - 1)
    return Interval(
        float(array.mean()), float(quantile * array.std(ddof=1) / math.sqrt(array.size)), array.size
    )


def interval_of_runs(values: Sequence[float]) -> Interval:
    """As :func:`t_interval`, but without a mean where a run has no value (NaN, infinite).

    Leaving such a run out would flatter what diverged.

    Args:
        values: one number per run, at least one.
    """
    if len(values) and not np.isfinite(np.asarray(values, dtype=np.float64)).all():
        return Interval(math.nan, None, len(values))
    return t_interval(values)


def satterthwaite(
    first: np.ndarray | float,
    first_df: np.ndarray | float,
    second: np.ndarray | float,
    second_df: np.ndarray | float,
) -> np.ndarray:
    """Degrees of freedom of the sum of two estimated variances (v₁ and v₂, any shape):
    (v₁ + v₂)² / (v₁² / df₁ + v₂² / df₂); those of the first where both are 0.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    whole, parts = (first + second) ** 2, first**2 / first_df + second**2 / second_df
    start = np.broadcast_to(np.asarray(first_df, np.float64), whole.shape).copy()
    return np.divide(whole, parts, out=start, where=parts > 0)


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's adjustment of p-values (n,) for n questions asked together, in their order: the i-th
    smallest times n − i + 1, never below a smaller one's, at most 1.
    """
    array = np.asarray(p, np.float64)
    order = np.argsort(array)
    steps = array[order] * np.arange(len(array), 0, -1)
    adjusted = np.empty_like(array)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
