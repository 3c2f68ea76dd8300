"""Criticality of each module, and what putting it back to its start costs."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.analysis.sheets import Records, profile, sheets
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels


def _panels(records: Records) -> Sequence[Panel]:
    return [
        profile(records, "per_module", value="direct", label="μ, straight path", scale="log"),
        profile(records, "per_module", value="path", label="μ, path of the training", scale="log"),
        profile(records, "per_module", value="rewound", label="top-1 [%] with module rewound"),
    ]


def _gather(sources: Sources) -> dict[str, Panels]:
    return sheets(sources, "criticality", _panels)


CRITICALITY = Figure(
    name="criticality",
    title="Criticality of modules",
    caption=(
        "How critical each module of the fine-tuned network is: μ is large where the module had to "
        "move far from its start and must be hit exactly. At the right the validation accuracy "
        "with the module alone put back to its start. Mean over seeds, the band from the lowest to "
        "the highest seed."
    ),
    gather=_gather,
    draw=draw_panels,
    form="svg",
)
