"""The small geometric changes under which upsampled features must agree with the backbone's own.

One draw serves a whole batch, and an image as well as its features: mirror the borders outwards,
enlarge, cut a window of the old size, perhaps mirror it left to right (FeatUp, arXiv 2403.10516,
and its code).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from heads.precision import no_autocast


@dataclass(frozen=True)
class Jitter:
    """One drawn jitter of maps of one size; call it on any map (B, C, H, W) of that size.

    Attributes:
        size: (H, W) in pixels.
        pad: rows and columns mirrored outwards on each side, pixels.
        zoom: enlargement of the padded map, at least 1.
        top: first row of the window in the enlarged map, pixels.
        left: first column, likewise.
        flip: whether the window is mirrored left to right.

    Raises:
        ValueError: a window that does not lie in the enlarged map, or a pad that cannot be
            mirrored.
    """

    size: tuple[int, int]
    pad: int
    zoom: float = 1.0
    top: int = 0
    left: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        _check(self.size, self.pad, self.zoom)
        slack = self.canvas[0] - self.size[0], self.canvas[1] - self.size[1]
        if not (0 <= self.top <= slack[0] and 0 <= self.left <= slack[1]):
            raise ValueError(
                f"window at ({self.top}, {self.left}): legal are offsets from (0, 0) to {slack}"
            )

    @property
    def canvas(self) -> tuple[int, int]:
        """(rows, columns) of the padded and enlarged map."""
        return canvas_size(self.size, self.pad, self.zoom)

    def __call__(self, maps: Tensor) -> Tensor:
        """Applies the jitter.

        Args:
            maps: (B, C, H, W) float.

        Returns:
            (B, C, H, W), same dtype. The enlarged map never exists: rows and columns of the window
            are combinations of those of the map, two matrix products of 2·B·C·H·W·(H + W) flop.

        Raises:
            ValueError: maps of another size.
        """
        if tuple(maps.shape[-2:]) != self.size:
            raise ValueError(
                f"maps {tuple(maps.shape)}: this jitter was drawn for maps of {self.size}; "
                "resize them"
            )
        rows = _combinations(self.size[0], self.pad, zoom=self.zoom, first=self.top)
        columns = _combinations(self.size[1], self.pad, zoom=self.zoom, first=self.left)
        columns = columns.flip(0) if self.flip else columns
        rows = rows.to(maps.device, maps.dtype, non_blocking=True)
        columns = columns.to(maps.device, maps.dtype, non_blocking=True)
        with no_autocast(maps):  # the identity must stay one in half precision
            return torch.matmul(torch.matmul(rows, maps), columns.T)


def draw_jitter(
    size: tuple[int, int],
    generator: torch.Generator | None = None,
    *,
    pad: int = 20,
    max_zoom: float = 2.0,
) -> Jitter:
    """Draws a jitter: mirrored with probability 1/2; enlarged with probability 1/2, by U(1,
    max_zoom); any window.

    Args:
        size: (H, W) of the maps.
        generator: on the CPU; None for torch's own. Five numbers are taken, whatever comes out.
        pad: pixels; FeatUp takes 20 for its JBU and 30 for its implicit upsampler, of images of
            224.
        max_zoom: at least 1; FeatUp takes 2 and 1.8.

    Raises:
        ValueError: ``max_zoom`` below 1, or a pad that cannot be mirrored.
    """
    _check(size, pad, max_zoom)
    drawn = torch.rand(5, generator=generator, dtype=torch.float64)
    flip, enlarge, zoom, top, left = drawn.tolist()
    zoom = 1 + (max_zoom - 1) * zoom if enlarge < 0.5 else 1.0
    height, width = canvas_size(size, pad, zoom)
    return Jitter(
        tuple(size),
        pad,
        zoom,
        top=math.floor(top * (height - size[0] + 1)),
        left=math.floor(left * (width - size[1] + 1)),
        flip=flip < 0.5,
    )


def canvas_size(size: tuple[int, int], pad: int, zoom: float) -> tuple[int, int]:
    """⌊(H + 2·pad)·zoom⌋ and the same of W; the one place that rounds, in double precision."""
    return tuple(math.floor((side + 2 * pad) * zoom) for side in size)


def _check(size: tuple[int, int], pad: int, zoom: float) -> None:
    if not 0 <= pad < min(size):
        raise ValueError(
            f"pad={pad}: must be from 0 to {min(size) - 1} for maps of {tuple(size)}, borders "
            "are mirrored"
        )
    if zoom < 1:
        raise ValueError(f"zoom={zoom}: must be at least 1, a smaller one would leave the image")


def _combinations(side: int, pad: int, *, zoom: float, first: int) -> Tensor:
    """(side, side) float64: row i says which positions of the map make position ``first + i`` of
    the enlarged one.

    Bilinear as torch does it with align_corners=False, coordinates from ``zoom`` and not from the
    rounded size.
    """
    padded = side + 2 * pad
    place = ((torch.arange(first, first + side, dtype=torch.float64) + 0.5) / zoom - 0.5).clamp(
        0, padded - 1
    )
    low = place.long()
    share = place - low
    result = torch.zeros(side, side, dtype=torch.float64)
    for index, weight in ((low, 1 - share), ((low + 1).clamp(max=padded - 1), share)):
        inside = (index - pad).abs()  # reflection about the first position, then about the last
        inside = side - 1 - (side - 1 - inside).abs()
        result[torch.arange(side), inside] += weight
    return result
