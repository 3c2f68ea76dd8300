"""How much of a cell's place stays readable as planes are removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

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

_PANELS = {"R2_by_planes": "R² of the place", "removed_by_planes": "variance removed [%]"}


@dataclass(frozen=True)
class Removal:
    """One sheet.

    Attributes:
        records: arm -> those of its seeds, all of one protocol.
        styles: arm -> its look.
    """

    records: Mapping[str, Sequence[Record]]
    styles: Mapping[str, Look]


def draw_removal(sheet: Removal, path: str | Path) -> Path:
    """Draws R² and the variance that is gone side by side.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    figure = new_figure(7.0, 3.0)
    for axes, (counts, label) in zip(figure.subplots(1, 2), _PANELS.items(), strict=True):
        plain_axes(axes, title=label, x="planes removed")
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for arm, records in sheet.records.items():
            rows = np.array([record.counts[counts] for record in records])
            _draw_line(axes, rows, sheet.styles[arm], arm=arm)
    name_arms(figure, {arm: sheet.styles[arm] for arm in sheet.records})
    return save_figure(figure, path)


def _draw_line(axes: Axes, rows: np.ndarray, look: Look, *, arm: str) -> None:
    """The mean over seeds (rows), and a band from the lowest to the highest."""
    places, group = range(rows.shape[1]), ARM + arm
    low, high = rows.min(0), rows.max(0)
    axes.fill_between(places, low, high, color=look.colour, alpha=0.15, lw=0, gid=group)
    style = dict(color=look.colour, linestyle=look.dash, marker=look.marker, markersize=4)
    axes.plot(places, rows.mean(0), linewidth=1.4, gid=group, **style)


def _gather(sources: Sources) -> dict[str, Removal]:
    """A sheet for each protocol."""
    by_protocol: dict[str, dict[str, list[Record]]] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == "positional_bias":
                arms = by_protocol.setdefault(run.record.protocol_hash, {})
                arms.setdefault(arm, []).append(run.record)
    styles, sheets = looks(sources.arms or sources.runs), {}
    for name, arms in by_protocol.items():
        sheets[f"protocol {name}" if len(by_protocol) > 1 else ""] = Removal(arms, styles)
    return sheets


FIGURE = Figure(
    name="positional_bias",
    title="Place in cells",
    caption=(
        "R² with which ridge regression reads row and column of a cell (1: fully readable), as the "
        "planes in which it reads them are removed one after the other, and the share of the "
        "features' variance that went with them. Mean over seeds, the band from the lowest to the "
        "highest."
    ),
    gather=_gather,
    draw=draw_removal,
    section="results",
    form="svg",
)
