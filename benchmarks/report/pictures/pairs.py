"""The geometry debugger: two views side by side, with every matched pair of cells drawn on both.

If a crop, a flip or a resize is off by a pixel or mirrored the wrong way, one sees it here: a line
must join the same spot of the same object. Left and right dots of a pair have the same colour,
given by their place in the source image.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.patches import ConnectionPatch, Polygon
from matplotlib.patheffects import Normal, Stroke
from torch import Tensor

from benchmarks.report.pictures.figure import COLOURS, new_figure, save_figure
from pretrain import geometry as geo

LINES = 24  # lines of one row: more of them hide the pictures


def place_colours(points: Tensor) -> np.ndarray:
    """Returns a colour for each position: hue runs with the angle around the source's centre,
    lightness with the distance.

    Args:
        points: (N, 2) float, source unit square.

    Returns:
        (N, 3) float RGB in [0, 1].
    """
    x, y = (points - 0.5).double().numpy().T
    hue = np.arctan2(y, x) / (2 * np.pi) % 1.0
    saturation = np.clip(0.45 + 1.1 * np.hypot(x, y), 0, 1)
    return hsv_to_rgb(np.stack([hue, saturation, np.full_like(hue, 0.95)], -1))


def draw_pairs(
    views: Tensor,
    geometry: Tensor,
    path: str | Path,
    *,
    sources: list[np.ndarray] | None = None,
    grid: tuple[int, int] = (7, 7),
    pos_radius_diag: float = 0.7,
    title: str = "",
) -> Path:
    """Draws one row per image: the source with both crops outlined, view 1, view 2, dots and lines.

    Args:
        views: (B, 2, 3, H, W) uint8 RGB.
        geometry: (B, 2, 2, 3) float64, view unit square to source unit square.
        path: PNG to write.
        sources: B source images (H_i, W_i, 3) uint8, drawn at the left when given.
        grid: cells (rows, columns) of the feature map whose pairs are drawn.
        pos_radius_diag: matching radius, in units of the larger cell diagonal (PixPro: 0.7).

    Raises:
        ValueError: ``views`` or ``geometry`` is not of the shape above.
    """
    if views.ndim != 5 or views.shape[1] != 2 or tuple(geometry.shape) != (len(views), 2, 2, 3):
        raise ValueError(
            f"views {tuple(views.shape)}, geometry {tuple(geometry.shape)}: need (B, 2, 3, H, "
            "W) and (B, 2, 2, 3)"
        )
    first, second = geometry[:, 0], geometry[:, 1]
    positives = geo.pixel_positives(
        first, second, size_q=grid, size_k=grid, pos_radius_diag=pos_radius_diag
    )  # (B, N, N)
    centres = [geo.cell_centres(first, grid), geo.cell_centres(second, grid)]  # 2 × (B, N, 2)
    columns = 2 if sources is None else 3
    figure = new_figure(2.9 * columns, 2.9 * len(views) + (0.4 if title else 0.1))
    axes = figure.subplots(len(views), columns, squeeze=False)
    figure.get_layout_engine().set(wspace=0.03)
    for row in range(len(views)):
        if sources is not None:
            _draw_source(axes[row, 0], sources[row], geometry[row])
        pair = axes[row, -2:]
        for view in range(2):
            pair[view].imshow(views[row, view].permute(1, 2, 0).numpy(), extent=(0, 1, 1, 0))
            pair[view].set(xticks=[], yticks=[])
            _draw_cells(pair[view], centres[view][row], positives[row].any(1 - view), grid)
            for spine in pair[view].spines.values():
                spine.set(color=COLOURS[view], linewidth=2)
        count = int(positives[row].sum())
        matched = [int(positives[row].any(axis).sum()) for axis in (1, 0)]
        pair[0].set_title(
            f"view 1 · {count} pairs, {matched[0]} cells", fontsize=9, color=COLOURS[0]
        )
        pair[1].set_title(f"view 2 · {matched[1]} cells", fontsize=9, color=COLOURS[1])
        _draw_lines(pair, positives[row], centres[0][row], grid)
    if title:
        figure.suptitle(title, fontsize=10)
    return save_figure(figure, path)


def _draw_source(axes: Axes, image: np.ndarray, maps: Tensor) -> None:
    """Draws the source image and the outline of both crops; a dot marks each view's top left
    corner, so flips show.
    """
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0))
    corners = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    for view in range(2):
        outline = geo.apply(maps[view], corners).numpy() * (width, height)
        axes.add_patch(Polygon(outline, fill=False, edgecolor=COLOURS[view], linewidth=2))
        axes.plot(*outline[0], "o", color=COLOURS[view], markersize=6)
    axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    axes.set_title("source · dot: view's top left", fontsize=9)


def _draw_cells(axes: Axes, centres: Tensor, matched: Tensor, grid: tuple[int, int]) -> None:
    """Draws a coloured dot on every matched cell and a faint cross on the others."""
    spots = geo.unit_grid(grid).numpy()
    on = matched.numpy()
    axes.scatter(*spots[~on].T, marker="x", s=10, c="white", alpha=0.6, linewidths=0.7)
    colours = place_colours(centres)[on]
    axes.scatter(*spots[on].T, s=26, c=colours, edgecolors="black", linewidths=0.6, zorder=3)
    axes.set(xlim=(0, 1), ylim=(1, 0))


def _draw_lines(
    pair: np.ndarray, positives: Tensor, centres: Tensor, grid: tuple[int, int]
) -> None:
    """Joins an even choice of at most ``LINES`` matched pairs across the two views."""
    spots = geo.unit_grid(grid).numpy()
    matches = positives.nonzero()  # (P, 2) cells of view 1 and view 2
    if len(matches) == 0:
        return
    chosen = matches[torch.linspace(0, len(matches) - 1, min(LINES, len(matches))).long()]
    colours = place_colours(centres[chosen[:, 0]])
    for (left, right), colour in zip(chosen.tolist(), colours, strict=True):
        line = ConnectionPatch(
            xyA=spots[left],
            xyB=spots[right],
            coordsA="data",
            coordsB="data",
            axesA=pair[0],
            axesB=pair[1],
            color=colour,
            linewidth=1.0,
        )
        line.set_path_effects([Stroke(linewidth=2.2, foreground="white", alpha=0.6), Normal()])
        line.set_in_layout(
            False
        )  # else the layout would make room for each line as if it stood outside
        pair[1].add_artist(line)
