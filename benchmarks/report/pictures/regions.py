"""Nested views: the context, then each part beside the outline that it must be found in (CIM)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from benchmarks.report.pictures.figure import COLOURS, new_figure, save_figure
from pretrain import geometry as geo


def draw_regions(
    context: Tensor,
    parts: Tensor,
    path: str | Path,
    *,
    geometry: Tensor,
    part_geometry: Tensor,
    title: str = "",
) -> Path:
    """Draws one row per image: the context with the outline of every target map, then the parts.

    The outlines are drawn from the target maps themselves (``geometry.coverage``), not from the
    boxes they came from.

    Args:
        context: (B, 3, H, W) uint8 RGB. parts: (B, K, 3, h, w) uint8 RGB.
        path: PNG to write.
        geometry: (B, 2, 3) float64, the contexts' maps. part_geometry: (B, K, 2, 3), those of the
            parts.
    """
    height, width = context.shape[-2:]
    targets = geo.coverage(geometry, part_geometry, size=(height, width))
    columns = 1 + parts.shape[1]
    figure = new_figure(2 + 1.4 * parts.shape[1], 2 * len(context) + (0.4 if title else 0.1))
    axes = figure.subplots(
        len(context), columns, squeeze=False, width_ratios=[1.6] + [1] * parts.shape[1]
    )
    for row in range(len(context)):
        axes[row, 0].imshow(context[row].permute(1, 2, 0).numpy())
        for k in range(parts.shape[1]):
            colour = COLOURS[k % len(COLOURS)]
            axes[row, 0].contour(
                targets[row, k].float().numpy(), levels=[0.5], colors=[colour], linewidths=1.5
            )
            axes[row, k + 1].imshow(parts[row, k].permute(1, 2, 0).numpy())
            for spine in axes[row, k + 1].spines.values():
                spine.set(color=colour, linewidth=2.5)
    for one in axes.flat:
        one.set(xticks=[], yticks=[])
    if title:
        figure.suptitle(title, fontsize=10)
    return save_figure(figure, path)
