"""Distance from a second network, module by module."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.analysis.sheets import Records, profile, sheets
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels


def _panels(records: Records) -> Sequence[Panel]:
    return [
        profile(records, "per_module", value="l2", label="l2 distance"),
        profile(records, "per_module", value="relative", label="in % of the reference's norm"),
    ]


def _gather(sources: Sources) -> dict[str, Panels]:
    return sheets(sources, "distance", _panels, from_zero=True)


DISTANCE = Figure(
    name="distance",
    title="Distance from the reference",
    caption=(
        "Distance of each module's parameters from those of the reference, and the same as a share "
        "of the reference's norm; classifier and BatchNorm's statistics left out. Mean over seeds, "
        "the band from the lowest to the highest seed."
    ),
    gather=_gather,
    draw=draw_panels,
    form="svg",
)
