"""The runs of one metric as arms × seeds, and what drawing other images would change."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.bootstrap import draw, sums_of_runs, unit_numbers
from benchmarks.report.statistics.pairs import ImageNoise

RESAMPLES = 1000


@dataclass(frozen=True)
class Grid:
    """Arms × seeds, the best mean first; arms have at least two seeds and a number in each.

    Attributes:
        metric: its name in the records.
        arms: names.
        seeds: in order of appearance.
        runs: arm -> seed -> run.
        values: (A, S), NaN where a run is missing.
        sign: 1, or −1 where lower is better.
    """

    metric: str
    arms: tuple[str, ...]
    seeds: tuple[Hashable, ...]
    runs: Mapping[str, Mapping[Hashable, Run]]
    values: np.ndarray
    sign: int


def grid_of(samples: Sequence[Sample]) -> Grid | None:
    """Arranges the samples of one metric; None for fewer than two arms that can be ranked."""
    runs: dict[str, dict[Hashable, Run]] = {}
    metric = ""
    for sample in samples:
        own = {run.pair: run for run in sample.runs if run.pair is not None}
        if len(own) > 1 and np.isfinite(sample.values).all():
            runs[sample.name], metric = own, sample.metric
    if len(runs) < 2:
        return None
    seeds = tuple(dict.fromkeys(itertools.chain(*runs.values())))
    values = np.full((len(runs), len(seeds)), np.nan)
    for row, own in enumerate(runs.values()):
        for seed, run in own.items():
            values[row, seeds.index(seed)] = run.record.metrics[metric].value
    sign = -1 if run.record.metrics[metric].better == "lower" else 1
    order = np.argsort(-sign * np.nanmean(values, 1), kind="stable")
    names = list(runs)
    arms = tuple(names[row] for row in order)
    return Grid(metric, arms, seeds, runs, values[order], sign)


def image_noise(grid: Grid) -> tuple[ImageNoise | None, int, int | None, float | None]:
    """How far other images would move the means, by the paired bootstrap.

    Returns:
        The noise, None where the runs do not all keep counts of the same images, or these are one
        group; images that it is of, else 0; groups that they are drawn in, None where records name
        none; share of the draws in which a class occurs nowhere.
    """
    cells = np.argwhere(np.isfinite(grid.values))
    runs = [grid.runs[grid.arms[row]][grid.seeds[column]] for row, column in cells]
    sums = sums_of_runs(runs, grid.metric)
    if sums is None:
        return None, 0, None, None
    groups = unit_numbers(sums)
    images = len(sums[0].images)
    units = images if groups is None else len(np.unique(groups))
    if units < 2:
        return None, 0, None, None
    metrics, absent = draw(sums, resamples=RESAMPLES)
    metrics = metrics[np.isfinite(metrics).all(1)]  # a draw without any class measures nothing
    drawn = np.full((len(metrics), *grid.values.shape), np.nan)
    drawn[:, cells[:, 0], cells[:, 1]] = metrics
    pairs = np.zeros((len(grid.arms), len(grid.arms)))
    for first, second in itertools.combinations(range(len(grid.arms)), 2):
        each = drawn[:, first] - drawn[:, second]
        each = each[:, np.isfinite(grid.values[[first, second]]).all(0)]  # (R, common seeds)
        if each.size:
            pairs[first, second] = pairs[second, first] = each.mean(1).var(ddof=1)
    # A resample of K units varies by (K − 1) / K too little.
    own = np.nanmean(drawn, 2).var(0, ddof=1)
    noise = ImageNoise(own * units / (units - 1), pairs * units / (units - 1), units - 1)
    return noise, images, None if groups is None else units, float(absent.mean())
