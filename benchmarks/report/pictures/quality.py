"""Quality during training: what ``EvaluationHook`` measured on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.core.record import read_all
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.curves import Panel, Panels, draw_panels
from benchmarks.report.pictures.figure import looks

Curve = tuple[np.ndarray, np.ndarray]  # images seen, values; each (n,) float


def read_evaluations(path: Path, batch: int) -> dict[str, Curve]:
    """Reads the ``evaluations.jsonl`` of one training; steps that were repeated after a resume keep
    their last record.

    Args:
        path: of the file.
        batch: images per step.

    Returns:
        ``benchmark.metric [unit]`` -> its course.
    """
    courses: dict[str, dict[int, float]] = {}
    for record in read_all(path):
        step = int(str(record.subject["spec"]).removeprefix("step "))
        for name, metric in record.metrics.items():
            unit = "" if metric.unit in ("", "1") else f" [{metric.unit}]"
            course = courses.setdefault(f"{record.benchmark}.{name}{unit}", {})
            course[batch * step] = metric.value
    curves = {}
    for label, course in courses.items():
        x = np.array(sorted(course), float)
        y = np.array([course[samples] for samples in sorted(course)])
        known = np.isfinite(y)
        if known.any():
            curves[label] = x[known], y[known]
    return curves


def _gather(sources: Sources) -> dict[str, Panels]:
    by_label: dict[str, dict[str, list[Curve]]] = {}
    for arm, paths in sources.evaluations.items():
        batch = sources.recipes[arm]["schedule"]["global_batch"]
        for path in paths:
            for label, curve in read_evaluations(path, batch).items():
                by_label.setdefault(label, {}).setdefault(arm, []).append(curve)
    panels = [Panel(label, curves) for label, curves in by_label.items()]
    return {"": Panels(panels, looks(sources.arms))} if panels else {}


QUALITY = Figure(
    name="quality",
    title="Quality during training",
    caption=(
        "What EvaluationHook measured on the way, with its reduced settings: do not compare these "
        "values with the table's. Mean over seeds, the band from the lowest to the highest seed."
    ),
    gather=_gather,
    draw=draw_panels,
    section="training",
    form="svg",
)
