"""One way to make and save figures: matplotlib's Agg canvas, PNG, written atomically."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pretrain.files import atomic_path

# Okabe and Ito's colours: told apart by colour-blind readers, and in this order also by lightness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B2A800")


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of that size in inches, with tight layout and no global state (pyplot
    is not used).
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: str | Path, dpi: int = 110) -> Path:
    """Writes the figure as PNG and returns its path."""
    path = Path(path)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=dpi, facecolor="white")
    return path
