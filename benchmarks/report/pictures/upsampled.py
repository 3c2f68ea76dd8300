"""Features before and after upsampling, coloured in one basis, so that a difference of colour is
one of features.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.upsamplers import family, load_upsampler
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import new_figure, save_figure
from benchmarks.report.pictures.pca import ColourBasis

CELL, LABEL, GAP = (
    1.95,
    1.35,
    0.12,
)  # inches: a picture, the column of names, the gap before the enlarged part
SIDE = 256  # pixels to which features are upsampled for a sheet
CORNER = 0.3  # share of both sides that is shown enlarged
BEFORE = "backbone"


def feature_colours(
    extractor: FeatureExtractor, images: Tensor, upsamplers: dict[str, object], *, stride: int = 1
) -> dict[str, np.ndarray]:
    """Colours of the features of images on the network's own grid and behind each upsampler.

    The basis is that of the low-resolution features of all images: an upsampler that leaves their
    space shows colours that are not in the row above.

    Args:
        extractor: The network; its own upsampler is not used.
        images: (B, 3, H, W) uint8 RGB.
        upsamplers: name -> upsampler.
        stride: Pixels per feature behind the upsamplers.

    Returns:
        Name -> (B, h, w, 3) float32 in [0, 1]; first ``BEFORE`` with the size of the grid.

    Raises:
        ValueError: features that are not finite.
    """
    low = extractor.through(None, 1).maps(images)
    basis = ColourBasis.fit(low)
    rows = {BEFORE: basis.colours(low)}
    for name, upsampler in upsamplers.items():
        fine = extractor.through(upsampler, stride)
        # One image at a time: a map at the image's own size may take hundreds of megabytes.
        rows[name] = np.concatenate([basis.colours(fine.maps(image[None])) for image in images])
    return rows


def draw_upsampled(
    images: Tensor, rows: dict[str, np.ndarray], path: str | Path, *, title: str = ""
) -> Path:
    """Draws a sheet: input images, then a row of feature colours per name, then the same part of
    the first image enlarged for all.

    Args:
        images: (B, 3, H, W) uint8 RGB.
        rows: name -> (B, h, w, 3) float in [0, 1], see :func:`feature_colours`.
        path: PNG to write.
    """
    pictures: list[tuple[str, Sequence[np.ndarray]]] = [
        ("input", images.permute(0, 2, 3, 1).numpy()),
        *rows.items(),
    ]
    count, ratio = len(images), images.shape[2] / images.shape[3]
    widths = [LABEL, *[CELL] * count, GAP, CELL]
    figure = new_figure(sum(widths), CELL * ratio * len(pictures) + (0.6 if title else 0.3))
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.025, wspace=0, hspace=0)
    axes = figure.subplots(len(pictures), len(widths), squeeze=False, width_ratios=widths)
    window = _busiest(images[0], CORNER)
    for row, (name, values) in enumerate(pictures):
        axes[row, 0].axis("off")
        axes[row, -2].axis("off")
        label = axes[row, 0].text(
            0.96, 0.5, textwrap.fill(name, 15), ha="right", va="center", fontsize=11
        )
        label.set_in_layout(False)  # else the layout would make room for it a second time
        for column in range(count):
            _show(axes[row, column + 1], values[column], ratio)
        axes[row, 1].add_patch(
            Rectangle(window, CORNER, CORNER, fill=False, edgecolor="white", linewidth=1.6)
        )
        _show(axes[row, -1], values[0], ratio)
        axes[row, -1].set(
            xlim=(window[0], window[0] + CORNER), ylim=(window[1] + CORNER, window[1])
        )
    axes[0, -1].set_title("the frame, enlarged", fontsize=10)
    if title:
        figure.suptitle(title, fontsize=12)
    return save_figure(figure, path, dpi=130)


def _show(axes: Axes, picture: np.ndarray, ratio: float) -> None:
    """Draws pixels as they are, a block per cell: smoothing would show detail that is not there."""
    axes.imshow(picture, interpolation="nearest", extent=(0, 1, 1, 0), aspect=ratio)
    axes.set(xticks=[], yticks=[])


def _busiest(image: Tensor, share: float) -> tuple[float, float]:
    """(left, top) of the window of that share of both sides in which an image (3, H, W) has the
    strongest edges.
    """
    grey = image.double().mean(0)
    edges = torch.zeros_like(grey)
    edges[1:] += (grey[1:] - grey[:-1]).abs()
    edges[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    sides = [max(1, round(side * share)) for side in grey.shape]
    sums = torch.nn.functional.avg_pool2d(edges[None, None], sides, stride=1)[0, 0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    return min(column / grey.shape[1], 1 - share), min(row / grey.shape[0], 1 - share)


@dataclass(frozen=True)
class _Sheet:
    """What one network's sheet is drawn from."""

    network: str
    images: Tensor
    sources: Sources


def _gather(sources: Sources) -> dict[str, _Sheet]:
    if sources.images is None:
        return {}
    images = sources.images()
    return {name: _Sheet(spec, images, sources) for name, spec in sources.networks.items()}


def _draw(sheet: _Sheet, path: Path) -> None:
    """Draws features before and behind every upsampler, bilinear always among them."""
    sources, images = sheet.sources, sheet.images
    extractor = FeatureExtractor.load(sheet.network, weights=sources.weights, device=sources.device)
    specs = [spec for spec in dict.fromkeys(["bilinear", *sources.upsamplers]) if spec != "none"]
    names = [family(spec) for spec in specs]
    names = names if len(set(names)) == len(names) else specs
    upsamplers = {}
    for name, spec in zip(names, specs, strict=True):
        upsamplers[name] = load_upsampler(spec, sources.device, channels=extractor.channels)
    stride = max(1, round(max(images.shape[-2:]) / SIDE))
    draw_upsampled(images, feature_colours(extractor, images, upsamplers, stride=stride), path)


FEATURES = Figure(
    name="features",
    title="Features",
    caption=(
        "the three main components of dense features as red, green and blue, on the network's own "
        "grid and behind each upsampler. One basis for the whole sheet, that of the network's own "
        "grid."
    ),
    gather=_gather,
    draw=_draw,
)
