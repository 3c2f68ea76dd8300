"""Loss and accuracy between two fine-tunings, and between two random starts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from benchmarks.analysis.sheets import Records, sheets
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels

_SHOWN = {
    "loss": "loss, statistics measured anew",
    "loss_uncalibrated": "loss, statistics interpolated",
    "top1": "top-1 [%], statistics measured anew",
}
_LINES = {"lines": "two fine-tunings", "random_lines": "two random starts"}


def _panels(records: Records) -> Sequence[Panel]:
    panels = []
    for lines, what in _LINES.items():
        for value, label in _SHOWN.items():
            curves: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
            for arm, own in records.items():
                for line in chain.from_iterable(record.counts[lines] for record in own):
                    curve = np.array(line["share"]), np.array(line[value])
                    curves.setdefault(arm, []).append(curve)
            if curves:
                panels.append(Panel(f"{what}:\n{label}", curves, x="λ"))
    return panels


def _gather(sources: Sources) -> dict[str, Panels]:
    return sheets(sources, "barrier", _panels)


BARRIER = Figure(
    name="barrier",
    title="Between two fine-tunings",
    caption=(
        "Validation loss and accuracy on the straight line (1 − λ) θ0 + λ θ1 between the final "
        "weights of two fine-tunings of one network, and below between those of two random starts. "
        "BatchNorm's running statistics are measured anew on training images at every λ, or "
        "interpolated as the weights are. Mean over pairs and seeds, the band from the lowest to "
        "the highest."
    ),
    gather=_gather,
    draw=draw_panels,
    form="svg",
)
