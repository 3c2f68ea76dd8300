"""What a backbone sees: the three main components of its dense features as red, green and blue.

All images of one network share one basis and one scaling, so equal colours mean equal features
across its images, and across its maps of different grids (before and after upsampling). Two
networks have no space in common; :func:`shared_colours` gives them one basis all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.loading import centre_crop
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import new_figure, save_figure
from pretrain.data.decode import decode_file
from pretrain.data.folders import is_image

_PIECE = 1 << 15  # positions coloured at once


@dataclass(frozen=True)
class ColourBasis:
    """Three directions in feature space and the range of each that becomes 0 to 1.

    Attributes:
        mean: (C,) float64, of unit features.
        directions: (C, k) float64, k = min(3, C).
        low: (k,) float64, the value along each direction that becomes 0. high: the one that becomes
            1; where both are equal the component says nothing.
    """

    mean: Tensor
    directions: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def fit(cls, maps: Tensor, clip: float = 0.01) -> ColourBasis:
        """Finds the main directions of dense features, one basis for all images.

        Features are L2-normalised per position (evaluations compare by cosine), centred, projected
        on the three directions of largest variance, and each component is scaled so that its
        ``clip`` and ``1 − clip`` quantiles become 0 and 1. The sign of a component is fixed by
        making its skewness positive, so the same features always give the same picture.

        Args:
            maps: (B, C, h, w) float, features of B images.
            clip: share of positions cut off at either end, in [0, 0.5).

        Raises:
            ValueError: features that are not finite. Cost: O(B·h·w·C²).
        """
        _check_finite(maps)
        flat = _unit_rows(maps.movedim(1, 3).flatten(0, 2))
        mean = flat.mean(0)
        centred = flat - mean
        variance, directions = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
        kept = min(3, maps.shape[1])
        variance, directions = variance.flip(0)[:kept], directions.flip(1)[:, :kept]
        values = centred @ directions  # (B·h·w, k)
        signs = torch.where((values**3).sum(0) >= 0, 1.0, -1.0).double()
        low, high = torch.from_numpy(
            np.quantile((values * signs).numpy(), [clip, 1 - clip], axis=0)
        )
        high = torch.where(
            variance > 1e-12, torch.maximum(high, low + 1e-12), low
        )  # rounding noise is no colour
        return cls(mean, directions * signs, low, high)

    def colours(self, maps: Tensor) -> np.ndarray:
        """Colours of features (B, C, h, w) of any grid: (B, h, w, 3) float32 in [0, 1], 0.5 where
        nothing varies.

        Raises:
            ValueError: features that are not finite, or of another width than the basis.
        """
        if maps.shape[1] != len(self.mean):
            raise ValueError(
                f"maps {tuple(maps.shape)}: the basis is one of {len(self.mean)} channels"
            )
        _check_finite(maps)
        varies = self.high > self.low
        span = torch.where(varies, self.high - self.low, 1.0)
        colours = np.full((len(maps), maps.shape[2] * maps.shape[3], 3), 0.5, np.float32)
        for image, picture in zip(maps, colours, strict=True):
            for start in range(
                0, len(picture), _PIECE
            ):  # a map at an image's own size is large in float64
                rows = _unit_rows(image.flatten(1)[:, start : start + _PIECE].T)
                scaled = ((rows - self.mean) @ self.directions - self.low) / span
                scaled = torch.where(varies, scaled.clamp(0, 1), 0.5)
                picture[start : start + _PIECE, : len(self.low)] = scaled.numpy()
        return colours.reshape(len(maps), *maps.shape[2:], 3)


def shared_colours(maps: Mapping[str, Tensor], clip: float = 0.01) -> dict[str, np.ndarray]:
    """Colours of several networks' features in one basis, so that equal colours of two networks
    mean that they see the same main component of what all of them see.

    This is multiple factor analysis: the features of every network are brought to one grid,
    L2-normalised, centred, divided by the spread along their first direction, so that none
    dominates, and put side by side; the three directions of largest variance of that whole are the
    basis. A network's part of a component is what its own columns give, times the number of
    networks (Escofier and Pagès, "Multiple factor analysis", 1994: partial scores).

    Args:
        maps: name -> (B, C, h, w) float, features of the same B images; C, h and w may differ.
        clip: as in :meth:`ColourBasis.fit`, over the parts of all networks.

    Returns:
        name -> (B, h, w, 3) float32 in [0, 1] on the network's own grid.

    Raises:
        ValueError: features that are not finite.
    """
    size = min((tensor.shape[-2:] for tensor in maps.values()), key=lambda grid: grid[0] * grid[1])
    blocks, own_rows = {}, {}
    for name, tensor in maps.items():
        _check_finite(tensor)
        common = functional.adaptive_avg_pool2d(tensor.float(), tuple(size))
        rows = _unit_rows(common.movedim(1, 3).flatten(0, 2))
        mean = rows.mean(0)
        spread = float(torch.linalg.matrix_norm(rows - mean, 2))
        scale = 1 / spread if spread > 1e-6 * len(rows) ** 0.5 else 0.0  # collapsed: only rounding
        own = _unit_rows(tensor.movedim(1, 3).flatten(0, 2))
        blocks[name], own_rows[name] = (rows - mean) * scale, (own - mean) * scale
    whole = torch.cat(list(blocks.values()), 1)
    directions = torch.linalg.svd(whole, full_matrices=False)[2][:3].T
    kept = directions.shape[1]
    scores = whole @ directions
    directions = directions * torch.where((scores**3).sum(0) >= 0, 1.0, -1.0).double()
    widths = [block.shape[1] for block in blocks.values()]
    parts = {}
    for name, own in zip(maps, directions.split(widths), strict=True):
        parts[name] = len(maps) * own_rows[name] @ own  # (B·h·w, k)
    together = torch.cat(list(parts.values())).numpy()
    low, high = np.quantile(together, [clip, 1 - clip], axis=0)
    colours = {}
    for name, tensor in maps.items():
        scaled = (parts[name].numpy() - low) / np.maximum(high - low, 1e-12)
        picture = np.full((len(scaled), 3), 0.5, np.float32)
        picture[:, :kept] = np.where(high > low, scaled.clip(0, 1), 0.5)
        colours[name] = picture.reshape(len(tensor), *tensor.shape[2:], 3)
    return colours


def _check_finite(maps: Tensor) -> None:
    if not torch.isfinite(maps).all():
        raise ValueError(
            f"maps {tuple(maps.shape)}: hold nan or inf; the network is broken, look at its "
            "training curve"
        )


def _unit_rows(rows: Tensor) -> Tensor:
    """Rows (n, C) at unit length, float64, on the CPU."""
    rows = rows.double().cpu()
    return rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)


def draw_pca(
    images: Tensor, rows: dict[str, np.ndarray], path: str | Path, *, title: str = ""
) -> Path:
    """Draws a sheet: one row of input images, then one row of feature colours per network.

    Args:
        images: (B, 3, H, W) uint8 RGB.
        rows: network name -> (B, h, w, 3) float in [0, 1], see :func:`shared_colours`.
        path: PNG to write.
    """
    pictures: list[tuple[str, Sequence[np.ndarray]]] = [
        ("input", images.permute(0, 2, 3, 1).numpy())
    ]
    pictures += list(rows.items())
    count, ratio = len(images), images.shape[2] / images.shape[3]
    label, cell = 1.15, 1.5  # inches: the column of names, one picture
    figure = new_figure(
        label + cell * count, cell * ratio * len(pictures) + (0.35 if title else 0.0)
    )
    axes = figure.subplots(
        len(pictures),
        count + 1,
        squeeze=False,
        gridspec_kw={"width_ratios": [label / cell] + [1.0] * count},
    )
    figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0, hspace=0)
    for row, (name, values) in enumerate(pictures):
        axes[row, 0].axis("off")
        axes[row, 0].text(
            1.0, 0.5, name, ha="right", va="center", fontsize=10, transform=axes[row, 0].transAxes
        )
        for column in range(count):
            # Features are drawn as they are, one block per cell: smoothing would show detail that
            # is not there.
            axes[row, column + 1].imshow(
                values[column], interpolation="nearest", extent=(0, 1, 0, ratio)
            )
            axes[row, column + 1].set(xticks=[], yticks=[])
    if title:
        figure.suptitle(title, fontsize=11)
    return save_figure(figure, path)


def load_images(folder: str | Path, count: int, size: int) -> Tensor:
    """Reads ``count`` images spread evenly over a folder's sorted files, as centre squares of
    ``size`` pixels.

    Returns:
        (count, 3, size, size) uint8 RGB.

    Raises:
        FileNotFoundError: no such folder, or no image below it.
        ValueError: an image cannot be read; names the file.
    """
    files = sorted(p for p in Path(folder).rglob("*") if is_image(p))
    if not files:
        raise FileNotFoundError(
            f"pictures: no images below {folder}; name a folder of images in pictures = "
            "dict(folder=…)"
        )
    chosen = [files[int(i)] for i in np.linspace(0, len(files) - 1, min(count, len(files)))]
    squares = [centre_crop(decode_file(file), size, 1.0) for file in chosen]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def _gather(sources: Sources) -> dict[str, Sources]:
    return {"": sources} if sources.networks and sources.images else {}


def _draw(sources: Sources, path: Path) -> None:
    images = sources.images()
    maps = {}
    for name, spec in sources.networks.items():
        network = FeatureExtractor.load(spec, weights=sources.weights, device=sources.device)
        maps[name] = network.maps(images).cpu()
    draw_pca(images, shared_colours(maps), path)


PCA = Figure(
    name="pca",
    title="Dense features",
    caption=(
        "Dense features of the first seed: three main components as red, green and blue, in one "
        "basis for all arms and images (multiple factor analysis): equal colours mean the same "
        "part of what the arms see in common. What one arm alone sees does not show."
    ),
    gather=_gather,
    draw=_draw,
)
