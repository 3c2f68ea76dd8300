"""Training curves of one or many runs from their ``curve.csv``: the mean over seeds, and a band
from the lowest to the highest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    Look,
    looks,
    name_arms,
    new_figure,
    plain_axes,
    save_figure,
)

X = "samples"
# What CollapseHook writes: spread and rank fall, and the gap closes, when features collapse.
COLLAPSE = (
    "watch/vector_spread",
    "watch/vector_rank",
    "watch/vector_gap",
    "watch/cell_spread",
    "watch/cell_rank",
    "watch/cell_gap",
)
LABELS = {"samples_per_s": "images per second", "lr": "learning rate"}
IMAGES = "images seen"
SMOOTH_POINTS = 200  # a longer curve is drawn as means of equal stretches


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        label: above it.
        curves: arm -> a curve per seed: (x, values), each (n,) float.
        x: what the horizontal axis shows.
        places: what stands at x = 0, 1, …, where x are no numbers.
        scale: of the vertical axis, ``linear`` or ``log``; a logarithmic one shows 0, too, below
            the smallest other value.
    """

    label: str
    curves: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]
    x: str = IMAGES
    places: Sequence[str] = ()
    scale: str = "linear"


@dataclass(frozen=True)
class Panels:
    """A sheet.

    Attributes:
        panels: at least one.
        styles: arm -> its look.
        from_zero: the vertical axes begin at 0, or below where a value does.
    """

    panels: Sequence[Panel]
    styles: Mapping[str, Look]
    from_zero: bool = False


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


def band(
    curves: Sequence[tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lowest and highest of several curves where all of them have values.

    Args:
        curves: (x, y) of each, x rising, one point at least.

    Returns:
        x, mean, low, high, each (n,): at the points of the first curve, the others interpolated.
    """
    start = max(x[0] for x, _ in curves)
    stop = min(x[-1] for x, _ in curves)
    first = curves[0][0]
    inside = first[(first >= start) & (first <= stop)]
    x = inside if len(inside) else np.array([min(start, stop)])
    rows = np.stack([np.interp(x, own, y) for own, y in curves])
    return x, rows.mean(0), rows.min(0), rows.max(0)


def draw_panels(sheet: Panels, path: str | Path) -> Path:
    """Draws a sheet.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    columns = min(3, len(sheet.panels))
    rows = -(-len(sheet.panels) // columns)
    figure = new_figure(3.2 * columns + 0.6, 2.3 * rows + 0.5)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in sheet.panels:
        _draw_panel(axes.pop(0), panel, sheet)
    for unused in axes:
        unused.remove()
    drawn = set(chain.from_iterable(panel.curves for panel in sheet.panels))
    name_arms(figure, {arm: look for arm, look in sheet.styles.items() if arm in drawn})
    return save_figure(figure, path)


def _draw_panel(axes: Axes, panel: Panel, sheet: Panels) -> None:
    plain_axes(axes, title=panel.label, x=panel.x)
    for arm, curves in panel.curves.items():
        look = sheet.styles[arm]
        x, mean, low, high = band(curves)
        if len(curves) > 1:
            axes.fill_between(x, low, high, color=look.colour, alpha=0.18, lw=0, gid=ARM + arm)
        axes.plot(
            x,
            mean,
            color=look.colour,
            linestyle=look.dash,
            linewidth=1.4,
            marker=look.marker,
            markersize=3.5,
            markevery=max(1, len(x) // 6),
            gid=ARM + arm,
        )
    if panel.scale == "log":
        axes.set_yscale("symlog", linthresh=_smallest(panel))
    if panel.places:
        axes.set_xticks(range(len(panel.places)), panel.places, rotation=45, ha="right")
    elif panel.x == IMAGES:
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20k, 1.5M
    if sheet.from_zero:
        axes.update_datalim([(axes.dataLim.x0, 0)])
        axes.autoscale_view()
        axes.set_ylim(bottom=min(0, axes.dataLim.y0))


def _smallest(panel: Panel) -> float:
    """The smallest value above 0 that a panel shows, as a power of ten."""
    values = np.concatenate([y for _, y in chain.from_iterable(panel.curves.values())])
    positive = values[np.isfinite(values) & (values > 0)]
    return 10.0 ** np.floor(np.log10(positive.min())) if positive.size else 1.0


def panel_of(
    column: str, runs: Mapping[str, Sequence[pd.DataFrame]], *, label: str = ""
) -> Panel | None:
    """The curves of one column of ``curve.csv``; None where no run logged it."""
    curves = {}
    for arm, frames in runs.items():
        own = []
        for frame in frames:
            if column not in frame:
                continue
            known = frame[[X, column]].dropna()  # a hook's values stand in some rows only
            if column.startswith("watch/"):  # and its last value is repeated until its next one
                known = known[known[column].diff() != 0]
            if len(known):
                own.append((known[X].to_numpy(float), known[column].to_numpy(float)))
        if own:
            curves[arm] = own
    plain = column.removeprefix("watch/").replace("_", " ")
    return Panel(label or LABELS.get(column, plain), curves) if curves else None


def _runs(sources: Sources) -> dict[str, list[pd.DataFrame]]:
    runs = {}
    for arm, paths in sources.curves.items():
        runs[arm] = [thin(read_curve(path)) for path in paths]
    return runs


def _sheet(
    panels: Sequence[Panel | None], sources: Sources, *, from_zero: bool = False
) -> dict[str, Panels]:
    drawn = [panel for panel in panels if panel is not None]
    styles = looks(sources.arms or sources.curves)
    return {"": Panels(drawn, styles, from_zero)} if drawn else {}


def _losses(sources: Sources) -> dict[str, Panels]:
    """A panel per arm, since losses of two objectives do not compare."""
    panels = []
    for arm, frames in _runs(sources).items():
        panels.append(panel_of("loss", {arm: frames}, label=f"loss of {arm}"))
    return _sheet(panels, sources)


def _of_columns(*columns: str, from_zero: bool = False) -> Callable[[Sources], dict[str, Panels]]:
    def gather(sources: Sources) -> dict[str, Panels]:
        runs = _runs(sources)
        panels = [panel_of(column, runs) for column in columns]
        return _sheet(panels, sources, from_zero=from_zero)

    return gather


LOSSES = Figure(
    name="curves",
    title="Losses",
    caption=(
        "Training losses: mean over seeds, the band from the lowest to the highest seed. Do not "
        "compare the losses of different objectives."
    ),
    gather=_losses,
    draw=draw_panels,
    section="training",
    form="svg",
)
COLLAPSED = Figure(
    name="collapse",
    title="Collapse",
    caption=(
        "Spread and effective rank of pooled vectors and of cells, and the gap between related and "
        "unrelated ones: spread and rank fall, and the gap closes, when features collapse. Bands "
        "over seeds as above."
    ),
    gather=_of_columns(*COLLAPSE),
    draw=draw_panels,
    section="training",
    form="svg",
)
THROUGHPUT = Figure(
    name="throughput",
    title="Throughput",
    caption=(
        "Images per second as logged, and the learning rate. Trials that ran side by side slowed "
        "each other: the speed says how this run went, not what the objective costs."
    ),
    gather=_of_columns("samples_per_s", "lr", from_zero=True),
    draw=draw_panels,
    section="training",
    form="svg",
)
