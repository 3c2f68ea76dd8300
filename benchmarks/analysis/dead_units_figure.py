"""The share of dead units of each layer, from the first to the last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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

NAME = "dead_units"


@dataclass(frozen=True)
class Silence:
    """The records of networks that have the same layers.

    Attributes:
        layers: their names.
        records: arm -> its records.
        styles: arm -> its look.
    """

    layers: tuple[str, ...]
    records: Mapping[str, list[Record]]
    styles: Mapping[str, Look]


def shares(record: Record) -> np.ndarray:
    """(layers,) percent of dead units."""
    counts = record.counts["per_layer"]
    return 100 * np.array(counts["dead"], float) / np.array(counts["units"], float)


def draw_silence(sheet: Silence, path: str | Path) -> Path:
    """Draws a sheet.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    figure = new_figure(max(4.5, 0.38 * len(sheet.layers) + 1.5), 3.6)
    axes = figure.subplots()
    plain_axes(axes, y="dead units [%]")
    places = np.arange(len(sheet.layers))
    for arm, records in sheet.records.items():
        look, group = sheet.styles[arm], ARM + arm
        rows = np.stack(list(map(shares, records)))
        if len(rows) > 1:
            low, high = rows.min(0), rows.max(0)
            axes.fill_between(places, low, high, color=look.colour, alpha=0.18, lw=0, gid=group)
        style = dict(color=look.colour, linestyle=look.dash, marker=look.marker, gid=group)
        axes.plot(places, rows.mean(0), markersize=4, linewidth=1.4, **style)
    axes.set_xticks(places, sheet.layers, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_ylim(bottom=0)
    name_arms(figure, {arm: sheet.styles[arm] for arm in sheet.records})
    return save_figure(figure, path)


def _gather(sources: Sources) -> dict[str, Silence]:
    """A sheet for every list of layers, by the column's name where there are several."""
    sheets: dict[tuple[str, tuple[str, ...]], dict[str, list[Record]]] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == NAME:
                layers = tuple(run.record.counts["per_layer"]["layer"])
                sheets.setdefault((run.benchmark, layers), {}).setdefault(arm, []).append(
                    run.record
                )
    styles = looks(sources.arms or sources.runs)
    drawn = {}
    for number, ((column, layers), records) in enumerate(sheets.items(), start=1):
        title = f"{column or NAME} ({number})" if len(sheets) > 1 else ""
        drawn[title] = Silence(layers, records, styles)
    return drawn


DEAD_UNITS = Figure(
    name=NAME,
    title="Dead units",
    caption=(
        "Units that are zero at every place of every image, in percent of each layer behind a "
        "ReLU, from the first layer to the last. Mean over seeds, the band from the lowest to the "
        "highest seed."
    ),
    gather=_gather,
    draw=draw_silence,
    section="results",
    form="svg",
)
