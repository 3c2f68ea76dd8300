"""The figure of invariances: scores of all factors with their intervals over classes and floors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.analysis.firing import bootstrap_over_classes
from benchmarks.core.record import Record
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    Look,
    looks,
    name_arms,
    new_figure,
    plain_axes,
    save_figure,
)

_NAME = "invariances"
_TOP = "top10"


@dataclass(frozen=True)
class Point:
    """The score of one arm in one factor, in percent.

    Attributes:
        score: mean over classes of the means over seeds.
        low, high: its 95 % interval over classes.
        floor: mean over seeds of the score with permuted sets.
    """

    score: float
    low: float
    high: float
    floor: float


@dataclass(frozen=True)
class Points:
    """A sheet.

    Attributes:
        factors: factor -> arm -> its point.
        styles: arm -> its look.
    """

    factors: Mapping[str, Mapping[str, Point]]
    styles: Mapping[str, Look]


def point_of(records: Sequence[Record], factor: str) -> Point:
    """What one arm's records, of equal protocol, give for a factor."""
    tables = [record.counts["per_class"][factor][_TOP] for record in records]
    scores = np.array(tables, np.float64).mean(0)  # (C,); None, a class left out, is NaN
    floors = [record.metrics[f"{factor}_{_TOP}_floor"].value for record in records]
    low, high = bootstrap_over_classes(scores)
    return Point(float(np.nanmean(scores)), low, high, float(np.mean(floors)))


def draw_points(points: Points, path: str | Path) -> Path:
    """Draws a group of rows per factor, a row per arm.

    Args:
        points: what to draw.
        path: PNG or SVG to write.
    """
    arms = list(points.styles)
    step = 0.7 / len(arms)
    figure = new_figure(6.4, 0.9 + len(points.factors) * (0.3 + 0.16 * len(arms)))
    axes = figure.subplots()
    plain_axes(axes, x=f"firing score of the {_TOP.removeprefix('top')} best units [%]")
    for row, by_arm in enumerate(points.factors.values()):
        for arm, point in by_arm.items():
            look = points.styles[arm]
            place = row + step * (arms.index(arm) - (len(arms) - 1) / 2)
            own = dict(color=look.colour, gid=ARM + arm)
            axes.plot([point.low, point.high], [place, place], linewidth=1.6, **own)
            axes.plot(point.score, place, marker=look.marker, markersize=5, **own)
            axes.plot(point.floor, place, marker="|", markersize=8, linestyle="none", **own)
    axes.set_yticks(range(len(points.factors)), [name.replace("_", " ") for name in points.factors])
    axes.invert_yaxis()
    axes.set_xlim(0, 102)  # a marker at 100 is whole
    axes.grid(visible=False, axis="y")
    name_arms(figure, dict(points.styles), line=False)
    return save_figure(figure, path)


def _gather(sources: Sources) -> dict[str, Points]:
    sheets: dict[str, dict[str, dict[str, list[Record]]]] = {}  # benchmark -> factor -> arm
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == _NAME:
                factors = sheets.setdefault(run.benchmark, {})
                for factor in run.record.counts["per_class"]:
                    factors.setdefault(factor, {}).setdefault(arm, []).append(run.record)
    styles, result = looks(sources.arms), {}
    for title, factors in sheets.items():
        points = {}
        for factor, by_arm in factors.items():
            points[factor] = {arm: point_of(records, factor) for arm, records in by_arm.items()}
        shown = {
            arm: look for arm, look in styles.items() if any(arm in p for p in points.values())
        }
        result[title if len(sheets) > 1 else ""] = Points(points, shown)
    return result


INVARIANCES = Figure(
    name=_NAME,
    title="Invariances",
    caption=(
        "Firing scores of the ten best units per class: at 100, units that fire on one image of a "
        "set fire on all of them. Lines are 95 % intervals over classes of the mean over seeds; "
        "ticks are the scores with permuted sets, the floor of a network without any invariance."
    ),
    gather=_gather,
    draw=draw_points,
    section="results",
    form="svg",
)
