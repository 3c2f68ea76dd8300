"""What each key of a sweep does by itself: means per value over the arms that have it.

Within a seed the mean is taken over the arms behind a value, then the t-interval over seeds. Values
are compared over the same settings of the other keys: of a grid or of ``vary`` only those count in
which every value of the key was run. A sample has no such settings; there all arms of a value
count, and numbers of many values are cut into thirds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.compare.parts import Arm
from benchmarks.core.statistics import Interval, interval_of_runs
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.table import Column, Row, Table

PARTS = 3  # of a sampled key with more values than that
NOTE = (
    "Means of the arms behind each value within a seed, ± half of the 95 % t-interval over seeds. "
    "Differences are paired by seed; each interval holds by itself, not all at once."
)
SAMPLED = "Drawn arms differ in the other keys, too, and no two share them: part of a difference "
SAMPLED += "comes from those."


@dataclass(frozen=True)
class LevelMean:
    """A value of a key.

    Attributes:
        level: the value, as text, or the range of the values that are counted together.
        arms: how many stand behind it.
        means: column -> mean over these arms, with its interval over seeds.
        differences: column -> difference to the first value of the key; empty for that one.
    """

    level: str
    arms: int
    means: dict[str, Interval]
    differences: dict[str, Interval]


@dataclass(frozen=True)
class Margin:
    """A key of a sweep and what each of its values gives on average.

    Attributes:
        sweep: arm of the config that was made several.
        kind: ``grid``, ``vary`` or ``sample``.
        label: of the key.
        levels: the one that differences refer to first: the arm's own in ``vary``.
        seeds: that all arms behind it have.
    """

    sweep: str
    kind: str
    label: str
    levels: tuple[LevelMean, ...]
    seeds: tuple[int, ...]


def margins(
    arms: Sequence[Arm], runs: Mapping[str, Sequence[Run]], columns: Sequence[str]
) -> tuple[Margin, ...]:
    """Returns a margin for each key of each sweep with two values whose arms share a seed.

    Args:
        arms: of the comparison.
        runs: arm -> its runs.
        columns: metrics.
    """
    sweeps: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.sweep is not None and runs.get(arm.name):
            sweeps.setdefault(arm.sweep.name, []).append(arm)
    done = []
    for own in sweeps.values():
        for label in own[0].sweep.levels:
            margin = _margin(own, label, runs, columns)
            if margin is not None:
                done.append(margin)
    return tuple(done)


def _margin(
    arms: Sequence[Arm], label: str, runs: Mapping[str, Sequence[Run]], columns: Sequence[str]
) -> Margin | None:
    sweep = arms[0].sweep
    behind = _drawn(arms, label) if sweep.kind == "sample" else _matched(arms, label)
    seeds = _shared_seeds([runs[name] for names in behind.values() for name in names])
    if len(behind) < 2 or not seeds:
        return None
    per_seed = {}
    for level, names in behind.items():
        per_seed[level] = {column: _means(names, runs, column, seeds) for column in columns}
    first, levels = next(iter(per_seed.values())), []
    for place, (level, own) in enumerate(per_seed.items()):
        means, differences = {}, {}
        for column, values in own.items():
            if values is not None:
                means[column] = interval_of_runs(values)
                if place and first[column] is not None:
                    differences[column] = interval_of_runs(values - first[column])
        levels.append(LevelMean(level, len(behind[level]), means, differences))
    return Margin(sweep.name, sweep.kind, label, tuple(levels), seeds)


def _matched(arms: Sequence[Arm], label: str) -> dict[str, list[str]]:
    """Value -> its arms, in those settings of the other keys in which every value was run."""
    groups: dict[tuple, dict[str, str]] = {}
    levels: dict[str, None] = {}
    for arm in arms:
        own = dict(arm.sweep.levels)
        level = own.pop(label)
        levels[level] = None
        groups.setdefault(tuple(own.items()), {})[level] = arm.name
    whole = [group for group in groups.values() if len(group) == len(levels)]
    return {level: [group[level] for group in whole] for level in levels} if whole else {}


def _drawn(arms: Sequence[Arm], label: str) -> dict[str, list[str]]:
    """Value -> its arms; thirds of the arms where the values are numbers and too many."""
    behind: dict[str, list[str]] = {}
    for arm in arms:
        behind.setdefault(arm.sweep.levels[label], []).append(arm.name)
    numbers = all(map(_is_number, behind))
    if not numbers:
        return behind
    ordered = sorted(behind, key=float)
    if len(ordered) <= PARTS:
        return {level: behind[level] for level in ordered}
    thirds = {}
    for part in np.array_split(np.array(ordered), PARTS):
        text = f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0])
        thirds[text] = [name for level in part for name in behind[level]]
    return thirds


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shared_seeds(runs: Sequence[Sequence[Run]]) -> tuple[int, ...]:
    seeds = [{run.pair for run in own} for own in runs]
    return tuple(sorted(set.intersection(*seeds))) if seeds else ()


def _means(
    names: Sequence[str], runs: Mapping[str, Sequence[Run]], column: str, seeds: Sequence[int]
) -> np.ndarray | None:
    """(seeds,) mean over arms; None where an arm lacks the metric for a seed."""
    rows = []
    for name in names:
        sample = sample_of(name, runs[name], column)
        pairs = [run.pair for run in sample.runs]
        values = dict(zip(pairs, sample.values, strict=True)) if pairs else {}
        rows.append([values.get(seed) for seed in seeds])
    if any(value is None for row in rows for value in row):
        return None
    return np.mean(np.array(rows, dtype=np.float64), axis=0)


def margin_table(margin: Margin, metrics: Sequence[Column]) -> Table:
    """The margin as a table: a row per value; the first metric with its differences.

    Args:
        metrics: columns of the comparison's table, the primary one first.
    """
    reference = margin.levels[0].level
    columns = [Column(margin.label, is_text=True)]
    for place, metric in enumerate(metrics):
        label = metric.heading
        columns.append(Column(metric.name, label=label, digits=metric.digits))
        if not place:
            label = f"{label} − that of {reference}"
            columns.append(Column(f"{metric.name} difference", label=label, digits=metric.digits))
    columns += [Column("arms", digits=0), Column("seeds", digits=0)]
    rows = []
    for level in margin.levels:
        cells = [level.level]
        for place, metric in enumerate(metrics):
            cells.append(level.means.get(metric.name))
            if not place:
                cells.append(level.differences.get(metric.name))
        rows.append(Row.of(*cells, level.arms, len(margin.seeds)))
    title = f"{margin.label} ({margin.kind} of {margin.sweep})"
    notes = (NOTE, SAMPLED) if margin.kind == "sample" else (NOTE,)
    return Table(title, tuple(columns), tuple(rows), notes=notes)
