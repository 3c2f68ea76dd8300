"""Accuracy on training images, epoch by epoch, from each start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks.core.record import Record
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    new_figure,
    plain_axes,
    save_figure,
)

NAME = "aligned_start"
#: In the order of the legend, each with its colour on every sheet.
_ORDER = ("scratch", "drawn", "trained", "unscaled")


@dataclass(frozen=True)
class Courses:
    """One sheet: a panel per network.

    Attributes:
        records: network -> the records of its seeds.
    """

    records: Mapping[str, Sequence[Record]]


def draw_courses(sheet: Courses, path: str | Path) -> Path:
    """Draws a panel per network.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    columns = min(3, len(sheet.records))
    rows = -(-len(sheet.records) // columns)
    figure = new_figure(3.1 * columns + 0.8, 2.5 * rows + 0.4)
    places = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
    for name, records in sheet.records.items():
        axes = places.pop(0)
        plain_axes(axes, title=name, x="epoch", y="accuracy on training images [%]")
        _draw_panel(axes, records)
    for unused in places:
        unused.remove()
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    return save_figure(figure, path)


def _draw_panel(axes: Axes, records: Sequence[Record]) -> None:
    """A line per start: the mean over seeds, and a band from the lowest to the highest."""
    for place, start in enumerate(_ORDER):
        courses = [record.counts["curves"].get(start) for record in records]
        if not all(courses):
            continue
        values = np.array(courses, float)
        epochs = np.arange(1, values.shape[1] + 1)
        if len(values) > 1:
            low, high = values.min(0), values.max(0)
            axes.fill_between(epochs, low, high, color=COLOURS[place], alpha=0.15, lw=0)
        axes.plot(
            epochs,
            values.mean(0),
            color=COLOURS[place],
            linestyle=DASHES[place],
            marker=MARKERS[place],
            markersize=3.5,
            linewidth=1.4,
            label=start,
        )


def _gather(sources: Sources) -> dict[str, Courses]:
    """A sheet for each column of a comparison."""
    sheets: dict[str, dict[str, list[Record]]] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == NAME:
                column = sheets.setdefault(run.benchmark or NAME, {})
                column.setdefault(arm, []).append(run.record)
    if len(sheets) == 1:
        return {"": Courses(next(iter(sheets.values())))}
    return {title: Courses(records) for title, records in sheets.items()}


STARTS = Figure(
    name=NAME,
    title="Starts made of a network",
    caption=(
        "Accuracy on training images from a fresh start (scratch), with the first layers' filters "
        "drawn from the covariance of the pretrained ones (drawn), with the pretrained filters at "
        "their initial norms (trained), and as pretraining left them (unscaled). Mean over seeds, "
        "the band from the lowest to the highest."
    ),
    gather=_gather,
    draw=draw_courses,
    section="results",
    form="svg",
)
