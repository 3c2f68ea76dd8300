"""Differences between rows, run by run and image by image."""

from __future__ import annotations

import math

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.core.statistics import t_interval
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics import STATISTICS
from benchmarks.report.statistics.intervals import (
    difference_over_images,
    difference_over_runs,
    mean_over_runs,
)


def sample(values: dict[int, float], **counts: object) -> Sample:
    """Runs by seed."""
    runs = []
    for seed, value in values.items():
        runs.append(Run(Record("toy", {"x": Metric(value, "%")}, {}, counts), pair=seed))
    return Sample("row", "x", tuple(runs))


def test_the_spread_between_pairs_cancels() -> None:
    own, other = sample({0: 11.0, 1: 22.0, 2: 33.5}), sample({2: 32.0, 0: 10.0, 1: 20.0, 9: 0.0})
    assert difference_over_runs(own, other) == t_interval([1.0, 2.0, 1.5])
    assert mean_over_runs(own) == t_interval([11.0, 22.0, 33.5])
    assert difference_over_runs(own, sample({7: 1.0})) is None
    undefined = difference_over_runs(own, sample({0: math.nan, 1: 1.0}))
    assert not undefined.defined and undefined.n == 2


def test_images_are_paired_within_two_single_runs() -> None:
    own = sample({0: 2.0}, per_image=dict(image=[3, 4, 5], x=[1.0, 2.0, 3.0]))
    other = sample({0: 1.0}, per_image=dict(image=[3, 4, 5], x=[0.5, 1.5, 1.0]))
    assert difference_over_images(own, other) == t_interval([0.5, 0.5, 2.0])
    assert difference_over_images(own, sample({0: 1.0})) is None
    assert difference_over_images(own, sample({0: 1.0, 1: 2.0})) is None
    moved = sample({0: 1.0}, per_image=dict(image=[3, 4, 6], x=[0.5, 1.5, 1.0]))
    assert difference_over_images(own, moved) is None


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_is_asked_for_by_its_name(name: str) -> None:
    statistic = STATISTICS[name]
    assert statistic.name == name
    assert bool(statistic.heading) == bool(statistic.explanation)  # each column says what it is
