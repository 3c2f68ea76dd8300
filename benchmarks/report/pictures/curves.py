"""Training curves of one or many runs from their ``curve.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import COLOURS, new_figure, save_figure

X = "samples"
# Drawn when a run logs them, in this order; the loss comes first and per arm, since losses of two
# objectives do not compare.
SHARED = (
    ("lr", "learning rate"),
    ("samples_per_s", "images / s"),
)
# What CollapseHook writes: spread and rank fall, and the gap closes, when features collapse.
COLLAPSE = (
    "watch/vector_spread",
    "watch/vector_rank",
    "watch/vector_gap",
    "watch/cell_spread",
    "watch/cell_rank",
    "watch/cell_gap",
)
SMOOTH_POINTS = 200  # a longer curve is drawn as means of equal stretches


def read_curve(path: str | Path) -> pd.DataFrame:
    """Reads a ``curve.csv`` with one row per logged step; rows repeated after a resume keep their
    last version.

    Raises:
        ValueError: the file has no ``samples`` or no ``loss`` column.
    """
    curve = pd.read_csv(path)
    missing = sorted({X, "loss"} - set(curve), reverse=True)
    if missing:
        raise ValueError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(curve.columns)}"
        )
    return curve.drop_duplicates(X, keep="last").sort_values(X).reset_index(drop=True)


def thin(curve: pd.DataFrame, points: int = SMOOTH_POINTS) -> pd.DataFrame:
    """Returns the numeric columns averaged over at most ``points`` equal stretches of rows."""
    numbers = curve.select_dtypes("number")
    if len(numbers) <= points:
        return numbers
    return numbers.groupby(np.arange(len(numbers)) * points // len(numbers)).mean()


def draw_curves(
    runs: dict[str, Sequence[pd.DataFrame]],
    path: str | Path,
    *,
    title: str = "",
    watched: Sequence[str] | None = None,
) -> Path:
    """Draws the loss of every arm in a panel of its own, then panels shared by all arms.

    Args:
        runs: arm -> curves, one per seed (drawn in one colour).
        path: PNG to write.
        watched: further columns, one shared panel each; by default the collapse statistics that
            were logged.

    Raises:
        ValueError: no runs.
    """
    runs = {arm: list(map(thin, curves)) for arm, curves in runs.items() if len(curves)}
    if not runs:
        raise ValueError("runs={}: nothing to draw; no run has logged a curve yet")
    shared = _shared_panels(set().union(*chain(*runs.values())), watched)
    panels = len(runs) + len(shared)
    rows = -(-panels // 4)
    columns = -(-panels // rows)
    figure = new_figure(3.4 * columns, 2.4 * rows + 0.3)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    colours = {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(runs)}
    for arm, curves in runs.items():
        _panel(axes.pop(0), {arm: curves}, "loss", label=f"loss of {arm}", colours=colours)
    for column, label in shared.items():
        _panel(axes.pop(0), runs, column, label=label, colours=colours)
    for unused in axes:
        unused.axis("off")
    handles = [Line2D([], [], color=colour, label=arm) for arm, colour in colours.items()]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6, len(handles)),
        frameon=False,
        fontsize=9,
    )
    if title:
        figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def _shared_panels(logged: set[str], watched: Sequence[str] | None) -> dict[str, str]:
    """Column -> heading of panels that all arms share; ``cell rank`` for ``watch/cell_rank``."""
    panels = {column: label for column, label in SHARED if column in logged}
    for column in filter(logged.__contains__, COLLAPSE) if watched is None else watched:
        panels[column] = column.removeprefix("watch/").replace("_", " ")
    return panels


def _panel(
    axes: Axes,
    runs: dict[str, Sequence[pd.DataFrame]],
    column: str,
    *,
    label: str,
    colours: dict[str, str],
) -> None:
    for arm, curves in runs.items():
        for curve in curves:
            if column in curve:
                known = curve[[X, column]].dropna()  # a hook's values stand in some rows only
                axes.plot(known[X], known[column], color=colours[arm], linewidth=1.2, alpha=0.85)
    axes.set_title(label, fontsize=9)
    axes.set_xlabel("images seen", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20k, 1.5M
    if column == "samples_per_s":
        axes.set_ylim(bottom=0)


def _gather(sources: Sources) -> dict[str, dict[str, list[pd.DataFrame]]]:
    runs = {arm: list(map(read_curve, paths)) for arm, paths in sources.curves.items()}
    return {"": runs} if runs else {}


CURVES = Figure(
    name="curves",
    caption=(
        "Training curves, one line per seed. Do not compare the losses of different objectives."
    ),
    gather=_gather,
    draw=draw_curves,
)
