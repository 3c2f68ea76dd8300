"""Correspondences: what each arm takes for the same place when a photo is mirrored and enlarged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import COLOURS, INK, new_figure, save_figure

ZOOM = 1.25  # the second view is the middle of the photo, this much larger
QUERIES = 5  # a side: 25 places are followed in each image
SHOWN = 3  # images
NEAR = 1.0  # cells of the first view's grid: a match this near is right


@dataclass(frozen=True)
class Matches:
    """Places of the first view and what an arm finds for them; coordinates in the unit square.

    Attributes:
        queries: (B, Q, 2) float, (x, y) in the second view.
        found: (B, Q, 2) float, (x, y) of the best cell in the first view.
        right: (B, Q) bool: within ``NEAR`` cells of the true place.
    """

    queries: Tensor
    found: Tensor
    right: Tensor


def second_view(images: Tensor) -> Tensor:
    """The middle of each image (B, 3, H, W), enlarged to the same size and mirrored; uint8."""
    height, width = images.shape[-2:]
    rows, columns = round(height / ZOOM), round(width / ZOOM)
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = images[..., top : top + rows, left : left + columns].float()
    enlarged = F.interpolate(middle, (height, width), mode="bilinear", antialias=True)
    return enlarged.flip(-1).round().clamp(0, 255).to(torch.uint8)


def true_places(places: Tensor) -> Tensor:
    """Where places (…, 2) of the second view lie in the first; (x, y) in the unit square."""
    mirrored = places.clone()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return (mirrored - 0.5) / ZOOM + 0.5


def match(first: Tensor, second: Tensor) -> Matches:
    """Follows a grid of places by cosine similarity of features.

    Args:
        first: (B, C, h, w) float, features of the images.
        second: (B, C, h, w) float, those of :func:`second_view`.
    """
    batch, _, height, width = first.shape
    side = (torch.arange(QUERIES) + 0.5) / QUERIES
    queries = torch.cartesian_prod(side, side).flip(-1)  # (Q, 2)
    grid = (2 * queries - 1).expand(batch, 1, -1, -1)
    # (B, C, Q): features of the second view at the queries, between cells.
    asked = F.grid_sample(second, grid, align_corners=False, padding_mode="border")[:, :, 0]
    known = F.normalize(first.flatten(2), dim=1)  # (B, C, h·w)
    best = torch.einsum("bcq,bcn->bqn", F.normalize(asked, dim=1), known).argmax(-1)  # (B, Q)
    x, y = best % width, best // width
    found = torch.stack([(x + 0.5) / width, (y + 0.5) / height], -1)
    wanted = true_places(queries).expand(batch, -1, -1)
    away = (found - wanted) * torch.tensor([width, height])
    return Matches(queries.expand(batch, -1, -1), found, away.abs().amax(-1) <= NEAR)


def draw_matches(
    images: Tensor, views: Tensor, arms: Mapping[str, Matches], path: str | Path
) -> Path:
    """Draws a row per arm: some images beside their second views, right matches as full lines,
    wrong ones dashed, and the share of the right ones over all images.

    Args:
        images: (B, 3, H, W) uint8 RGB.
        views: of the same shape, the second views.
        arms: name -> its matches.
        path: PNG to write.
    """
    shown = np.linspace(0, len(images) - 1, min(SHOWN, len(images))).astype(int).tolist()
    figure = new_figure(0.4 + 2.9 * len(shown), 1.6 * len(arms))
    axes = figure.subplots(len(arms), 2 * len(shown), squeeze=False)
    figure.get_layout_engine().set(wspace=0.02, hspace=0.02)
    for row, (name, matches) in enumerate(arms.items()):
        for column, image in enumerate(shown):
            pair = axes[row, 2 * column : 2 * column + 2]
            for place, pixels in zip(pair, (images[image], views[image]), strict=True):
                place.imshow(pixels.permute(1, 2, 0).numpy(), extent=(0, 1, 1, 0))
                place.set(xticks=[], yticks=[])
            _join(pair, matches, image)
        share = 100 * float(matches.right.float().mean())
        axes[row, 0].set_ylabel(f"{name}\n{share:.0f} % right", fontsize=8, color=INK)
    return save_figure(figure, path)


def _join(pair: np.ndarray, matches: Matches, image: int) -> None:
    left: Axes
    left, right = pair
    for query, found, is_right in zip(
        matches.queries[image], matches.found[image], matches.right[image], strict=True
    ):
        line = ConnectionPatch(
            xyA=found.tolist(),
            xyB=query.tolist(),
            coordsA="data",
            coordsB="data",
            axesA=left,
            axesB=right,
            color=COLOURS[5] if is_right else COLOURS[1],
            linestyle="-" if is_right else (0, (2, 2)),
            linewidth=1.1 if is_right else 0.8,
        )
        line.set_in_layout(False)
        right.add_artist(line)


def _gather(sources: Sources) -> dict[str, Sources]:
    return {"": sources} if sources.networks and sources.images else {}


def _draw(sources: Sources, path: Path) -> None:
    images = sources.images()
    views, arms = second_view(images), {}
    for name, spec in sources.networks.items():
        network = FeatureExtractor.load(spec, weights=sources.weights, device=sources.device)
        arms[name] = match(network.maps(images).cpu().float(), network.maps(views).cpu().float())
    draw_matches(images, views, arms, path)


CORRESPONDENCES = Figure(
    name="correspondences",
    title="Correspondences",
    caption=(
        "Left a photo, right its middle, enlarged and mirrored. From 25 places of the right one a "
        "line leads to the cell of the left one with the most similar feature, by the network of "
        "the first seed: full and blue within one cell of the true place, dashed and orange else."
    ),
    gather=_gather,
    draw=_draw,
)
