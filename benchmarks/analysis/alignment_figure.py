"""f(σ) of a layer, and its misalignment beside both controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks.core.record import Record
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    INK,
    Look,
    looks,
    name_arms,
    new_figure,
    plain_axes,
    save_figure,
)

NAME = "alignment"


@dataclass(frozen=True)
class Alignments:
    """The records of one layer.

    Attributes:
        records: arm -> its records.
        styles: arm -> its look.
    """

    records: Mapping[str, list[Record]]
    styles: Mapping[str, Look]


def draw_alignments(sheet: Alignments, path: str | Path) -> Path:
    """Draws a sheet.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    figure = new_figure(8.2, 3.3)
    curves, rows = figure.subplots(1, 2, width_ratios=(3, 2))
    plain_axes(curves, title="transfer function f(σ)", x="σ of the inputs")
    curves.set_xscale("log")
    for arm, records in sheet.records.items():
        for record in records:
            _draw_curve(curves, record, look=sheet.styles[arm], arm=arm)
    plain_axes(rows, x="misalignment: own basis, random bases ◇, floor |")
    for row, (arm, records) in enumerate(sheet.records.items()):
        _draw_row(rows, row, records=records, look=sheet.styles[arm], arm=arm)
    rows.set_yticks([])
    rows.set_ylim(len(sheet.records) - 0.5, -0.5)
    rows.set_xlim(left=0)
    rows.grid(visible=False, axis="y")
    name_arms(figure, {arm: sheet.styles[arm] for arm in sheet.records})
    return save_figure(figure, path)


def _draw_curve(axes: Axes, record: Record, *, look: Look, arm: str) -> None:
    """f over σ; directions in which the inputs do not vary are left out."""
    sigma = np.array(record.counts["sigma"], float)
    gains = np.array(record.counts["transfer"], float)
    varied = sigma > 1e-6 * sigma.max()
    style = dict(color=look.colour, linestyle=look.dash, marker=look.marker, gid=ARM + arm)
    axes.plot(sigma[varied], gains[varied], markersize=2.5, linewidth=1.1, **style)


def _draw_row(axes: Axes, row: int, *, records: list[Record], look: Look, arm: str) -> None:
    """A marker for each record of an arm, and the means of its controls."""
    for shift, name, marker, filled in (
        (0.0, "misalignment", look.marker, True),
        (0.22, "random_basis", "D", False),
        (0.22, "floor", "|", True),
    ):
        values = [record.metrics[name].value for record in records]
        colour = INK if name == "floor" else look.colour
        style = dict(color=colour, marker=marker, linestyle="none", gid=ARM + arm)
        face = colour if filled else "none"
        axes.plot(values, [row + shift] * len(values), markerfacecolor=face, **style)


def _gather(sources: Sources) -> dict[str, Alignments]:
    sheets: dict[str, dict[str, list[Record]]] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == NAME:
                title = run.benchmark or f"layer {run.record.protocol['layer']}"
                sheets.setdefault(title, {}).setdefault(arm, []).append(run.record)
    styles = looks(sources.arms or sources.runs)
    if len(sheets) == 1:
        return {"": Alignments(next(iter(sheets.values())), styles)}
    return {title: Alignments(records, styles) for title, records in sheets.items()}


ALIGNMENT = Figure(
    name=NAME,
    title="Alignment",
    caption=(
        "Left: the standard deviation f(σ) of a layer's units along each direction in which its "
        "inputs vary by σ, a line per run; flat where the units prefer no direction. Right: the "
        "misalignment in the inputs' own basis (filled), the mean over random bases (◇) and the "
        "mean of as many truly aligned independent units (|). Aligned units lie left of ◇."
    ),
    gather=_gather,
    draw=draw_alignments,
    section="results",
    form="svg",
)
