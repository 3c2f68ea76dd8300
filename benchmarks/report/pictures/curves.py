"""Training curves of one or many runs from their ``curve.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
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
COLLAPSE = tuple(
    f"watch/{kind}_{value}" for kind in ("vector", "cell") for value in ("spread", "rank", "gap")
)
SMOOTH_POINTS = 200  # a longer curve is drawn as means of equal stretches


def read_curve(path: str | Path) -> pd.DataFrame:
    """Reads a ``curve.csv`` with one row per logged step; rows repeated after a resume keep their
    last version.

    Raises:
        ValueError: the file has no ``samples`` or no ``loss`` column.
    """
    curve = pd.read_csv(path)
    missing = [name for name in (X, "loss") if name not in curve]
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
    if not any(len(curves) for curves in runs.values()):
        raise ValueError("runs={}: nothing to draw; no run has logged a curve yet")
    runs = {arm: [thin(curve) for curve in curves] for arm, curves in runs.items() if len(curves)}
    logged = list(
        dict.fromkeys(
            column for curves in runs.values() for curve in curves for column in curve.columns
        )
    )
    extra = [c for c in COLLAPSE if c in logged] if watched is None else list(watched)
    shared = [*((c, label) for c, label in SHARED if c in logged), *((c, _words(c)) for c in extra)]
    panels = len(runs) + len(shared)
    rows = -(-panels // 4)
    columns = -(-panels // rows)
    figure = new_figure(3.4 * columns, 2.4 * rows + 0.3)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    colours = {arm: COLOURS[i % len(COLOURS)] for i, arm in enumerate(runs)}
    for arm, curves in runs.items():
        _panel(axes.pop(0), {arm: curves}, "loss", f"loss of {arm}", colours=colours)
    for column, label in shared:
        _panel(axes.pop(0), runs, column, label, colours=colours)
    for unused in axes:
        unused.axis("off")
    handles = [
        figure.axes[0].plot([], [], color=colour, label=arm)[0] for arm, colour in colours.items()
    ]
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


def _words(column: str) -> str:
    """``watch/cell_rank`` as people write it."""
    return column.removeprefix("watch/").replace("_", " ")


def _panel(
    axes: Axes,
    runs: dict[str, Sequence[pd.DataFrame]],
    column: str,
    label: str,
    *,
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
    runs = {arm: [read_curve(path) for path in paths] for arm, paths in sources.curves.items()}
    return {"": runs} if runs else {}


CURVES = Figure(
    name="curves",
    caption="Training curves, one line per seed. Losses of two objectives do not compare.",
    gather=_gather,
    draw=draw_curves,
)
