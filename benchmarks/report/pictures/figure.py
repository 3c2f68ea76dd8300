"""One way to make and save figures: matplotlib without global state, PNG for photos and SVG for
plots, written atomically.

Plots keep colour, marker and dash of an arm alike in all of them. Their groups are named after the
arm, so that a page can hide it (:mod:`benchmarks.report.inline`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pretrain.files import atomic_path

# Okabe and Ito's colours: told apart by colour-blind readers, and in this order also by lightness.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1a1a1a", "#b2a800")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # 7 and 8 have no common divisor: 56 combinations
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1, 1.5)))
INK, RULE, PAPER = "#222222", "#d8d8d8", "#ffffff"
ARM = "arm:"  # what the names of an arm's groups begin with
_SVG = {"svg.fonttype": "none", "svg.hashsalt": "figure"}  # text stays text, names stay the same


@dataclass(frozen=True)
class Look:
    """How an arm is drawn.

    Attributes:
        colour: of lines and markers.
        marker: matplotlib's.
        dash: matplotlib's line style.
    """

    colour: str
    marker: str
    dash: str | tuple


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """Arm -> its look, by its place; colours repeat after 8, looks after 56."""
    styles = {}
    for place, arm in enumerate(arms):
        dash = DASHES[place // len(COLOURS) % len(DASHES)]
        marker = MARKERS[place % len(MARKERS)]
        styles[arm] = Look(COLOURS[place % len(COLOURS)], marker, dash)
    return styles


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of that size in inches, with tight layout and no global state (pyplot
    is not used).
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 110) -> Path:
    """Writes the figure in the form that the path ends in and returns the path."""
    path = Path(path)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with atomic_path(path) as temporary, matplotlib.rc_context(_SVG | {"svg.hashsalt": path.stem}):
        figure.savefig(
            temporary, format=path.suffix[1:], dpi=dpi, facecolor=PAPER, metadata=metadata
        )
    return path


def plain_axes(axes: Axes, *, title: str = "", x: str = "", y: str = "") -> None:
    """Titles, small ticks, a light grid, no frame; ink that a page can turn round."""
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xlabel(x, fontsize=8, color=INK)
    axes.set_ylabel(y, fontsize=8, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color=RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    for text in (axes.xaxis.get_offset_text(), axes.yaxis.get_offset_text()):
        text.set_color(INK)


def name_arms(figure: Figure, styles: dict[str, Look], *, line: bool = True) -> None:
    """Puts the arms' names below the figure.

    Args:
        figure: any.
        styles: arm -> its look.
        line: show the dash beside the marker.
    """
    handles = []
    for arm, look in styles.items():
        dash = look.dash if line else "none"
        style = dict(color=look.colour, linestyle=dash, marker=look.marker, markersize=4)
        handles.append(Line2D([], [], label=arm, gid=ARM + arm, **style))
    legend = figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(4, len(handles)),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
    )
    for text in legend.get_texts():
        text.set_gid(ARM + text.get_text())
