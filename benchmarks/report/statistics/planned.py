"""One pair that was planned before the run: the most powerful test for a single question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.core.statistics import CONFIDENCE, t_interval
from benchmarks.report.runs import Sample
from benchmarks.report.statistics.pairs import is_nothing, sign_flip


@dataclass(frozen=True)
class PlannedPair:
    """The paired t-test of one difference over seeds.

    Attributes:
        column: ``benchmark.metric``.
        first: name of an arm.
        second: name of the other.
        seeds: that both have.
        difference: first − second, mean over these seeds.
        half: half-width of its 95 % t-interval; None where nothing tells the spread.
        p: two-sided.
        sign_flip: exact p without normality.
        above: name of the better one if p < .05, else None.
        sentence: all of it in words.
    """

    column: str
    first: str
    second: str
    seeds: int
    difference: float
    half: float | None
    p: float | None
    sign_flip: float
    above: str | None
    sentence: str


def planned_pair(first: Sample, second: Sample) -> PlannedPair | None:
    """Compares two arms over the seeds that both have.

    Args:
        first: an arm.
        second: the arm that the plan names beside it.

    Returns:
        None where they share fewer than two seeds, or a run has no number.
    """
    runs = first.paired_with(second)
    values = np.array([[own.record.metrics[first.metric].value for own in pair] for pair in runs])
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    each = values[:, 0] - values[:, 1]
    interval, half, p = t_interval(each.tolist()), None, None
    if not is_nothing(each.std(), values):
        half = interval.half
        p = float(stats.ttest_1samp(each, 0.0).pvalue)
    above = None
    if p is not None and p < 1 - CONFIDENCE:
        is_first = (interval.mean > 0) == (first.better == "higher")
        above = first.name if is_first else second.name
    metric = first.runs[0].record.metrics[first.metric]
    unit = "" if metric.unit in ("", "1") else f" {metric.unit}"
    flip, column = sign_flip(each), first.runs[0].column(first.metric)
    tests = "nothing tells its spread" if p is None else f"paired t-test: p = {p:.2g}"
    outcome = f"{above} is better" if above else "they are not apart"
    sentence = (
        f"Planned before the run: {first.name} − {second.name} in {column} is "
        f"{interval.mean:.2f}{'' if half is None else f' ± {half:.2f}'}{unit} over {len(each)} "
        f"seeds ({tests}; sign-flip: p = {flip:.2g}): {outcome}."
    )
    return PlannedPair(
        column=column,
        first=first.name,
        second=second.name,
        seeds=len(each),
        difference=interval.mean,
        half=half,
        p=p,
        sign_flip=flip,
        above=above,
        sentence=sentence,
    )
