"""Similarity to a second network, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.analysis.sheets import Records, profile, sheets
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels

_SHOWN = {
    "debiased": "debiased CKA",
    "biased": "biased CKA",
    "floor": "biased CKA, images permuted",
}


def _panels(records: Records) -> Sequence[Panel]:
    return [
        profile(records, "per_stage", value=value, label=label) for value, label in _SHOWN.items()
    ]


def _gather(sources: Sources) -> dict[str, Panels]:
    return sheets(sources, "cka", _panels, from_zero=True)


CKA = Figure(
    name="cka",
    title="Similarity to the reference",
    caption=(
        "Linear CKA of each stage with the same stage of the reference, 1 where features agree up "
        "to rotation and scale. Mean over seeds, the band from the lowest to the highest seed. At "
        "the right what the biased value is where nothing is alike: only the debiased one is then "
        "0."
    ),
    gather=_gather,
    draw=draw_panels,
    form="svg",
)
