"""Dense structure and dense quality along training, a panel per run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from benchmarks.core.record import Record
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    COLOURS,
    INK,
    new_figure,
    plain_axes,
    save_figure,
)

_QUALITY, _MEASURE = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Panel:
    """One run.

    Attributes:
        arm: whose run it is.
        title: above it.
        record: of ``along_training``.
    """

    arm: str
    title: str
    record: Record


def draw_courses(panels: Sequence[Panel], path: str | Path) -> Path:
    """Draws a sheet.

    Args:
        panels: at least one.
        path: PNG or SVG to write.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(3.6 * columns + 0.4, 2.6 * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels:
        _draw(axes.pop(0), panel)
    for unused in axes:
        unused.remove()
    return save_figure(figure, path)


def _draw(axes: Axes, panel: Panel) -> None:
    counts, group = panel.record.counts, ARM + panel.arm
    course = counts["checkpoints"]
    low, high = counts["tau_interval"]
    tau = panel.record.metrics["tau"].value
    title = f"{panel.title}\nτ {tau:.2f} [{_text(low)}, {_text(high)}]"
    name = panel.record.protocol["quality"]
    unit = panel.record.metrics["regret"].unit
    plain_axes(axes, title=title, x="images seen", y=f"retrieval.{name} [{unit}]")
    axes.yaxis.label.set_color(_QUALITY)
    style = dict(markersize=3, linewidth=1.4, gid=group)
    axes.plot(course["samples"], course["quality"], marker="o", color=_QUALITY, **style)
    other = axes.twinx()
    plain_axes(other, y="DSE")
    other.grid(visible=False)
    other.spines["right"].set_visible(True)
    other.yaxis.label.set_color(_MEASURE)
    other.plot(course["samples"], course["dse"], marker="s", color=_MEASURE, ls="--", **style)
    for samples, line in ((counts["pick"], "--"), (counts["best"], ":")):
        axes.axvline(samples, color=INK, linewidth=1.0, linestyle=line, gid=group)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _text(value: float | None) -> str:
    """A number, which is null in a record that was read where it was not defined."""
    return "–" if value is None else f"{value:.2f}"


def _gather(sources: Sources) -> Mapping[str, Any]:
    panels = []
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == "along_training":
                panels.append(Panel(arm, run.name or arm, run.record))
    return {"": panels} if panels else {}


FIGURE = Figure(
    name="along_training",
    title="Dense structure along training",
    caption=(
        "Quality by retrieval (circles, left axis) and DSE, which reads no labels (squares, right "
        "axis), of each checkpoint, a panel per run. Dashed line: the checkpoint that DSE picks; "
        "dotted line: the best one. τ: Kendall's rank correlation of the two, with its 95 % "
        "interval over checkpoints, which is too narrow, since checkpoints follow each other."
    ),
    gather=_gather,
    draw=draw_courses,
    section="results",
    form="svg",
)
