"""How much of a cell's place stays readable as planes are removed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.analysis.sheets import Records, sheets
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels

_SHOWN = {"R2_by_planes": "R² of the place", "removed_by_planes": "variance removed [%]"}


def _panels(records: Records) -> Sequence[Panel]:
    panels = []
    for counts, label in _SHOWN.items():
        curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for arm, own in records.items():
            for values in (np.array(record.counts[counts], np.float64) for record in own):
                curves.setdefault(arm, []).append((np.arange(len(values)), values))
        panels.append(Panel(label, curves, x="planes removed"))
    return panels


def _gather(sources: Sources) -> dict[str, Panels]:
    return sheets(sources, "positional_bias", _panels, from_zero=True)


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
    draw=draw_panels,
    section="results",
    form="svg",
)
