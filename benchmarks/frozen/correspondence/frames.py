"""Where an image lies in the network's input, and its points on the network's map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.core.features import Cells
from benchmarks.data.loading import resize_image
from benchmarks.frozen.correspondence.settings import FILTERS, Settings


@dataclass(frozen=True)
class Frame:
    """One image in the network's input.

    Places on a map are in cells, x then y, its upper left corner at (0, 0): the centre of the first
    cell is at (½, ½).

    Args:
        image: (H, W) in pixels.
        size: (H, W) of the input in pixels.
        fit: As in :class:`Settings`.
        cells: Where the map's cells lie on the input, if the network pads it; None: the map covers
            the input evenly.

    Attributes:
        scale: (x, y) input pixels per image pixel.
        inside: (H, W) in pixels of what the image becomes in the input.
        offset: (x, y) input pixels of its upper left corner.
    """

    image: tuple[int, int]
    size: tuple[int, int]
    fit: str = "squash"
    cells: Cells | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """See the class."""
        across, down = self.size[1] / self.image[1], self.size[0] / self.image[0]
        return (across, down) if self.fit == "squash" else (min(across, down),) * 2

    @property
    def inside(self) -> tuple[int, int]:
        """See the class."""
        if self.fit == "squash":
            return self.size
        height, width = (max(1, round(side * self.scale[0])) for side in self.image)
        return min(height, self.size[0]), min(width, self.size[1])

    @property
    def offset(self) -> tuple[int, int]:
        """See the class."""
        if self.fit != "letterbox":
            return 0, 0
        height, width = self.inside
        return (self.size[1] - width) // 2, (self.size[0] - height) // 2

    def to_cells(self, points: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Places (K, 2) on a map of (h, w) cells of points (K, 2) in the image's pixels."""
        cells = np.array(grid[::-1])
        if self.fit == "squash" and self.cells is None:
            return points * cells / np.array(self.image[::-1])
        before, sides = self._area
        return (self.to_input(points) + before) * cells / sides

    def to_image(self, places: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
        """Points (K, 2) in the image's pixels of places (K, 2) on a map of (h, w) cells."""
        height, width = grid
        if self.fit == "squash" and self.cells is None:
            return places * (self.image[1] / width, self.image[0] / height)
        before, sides = self._area
        return (places * (sides / (width, height)) - before - self.offset) / self.scale

    @property
    def _area(self) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) pixels of the network's padding before the input, and sides of what the map covers
        with it.
        """
        before = (0, 0) if self.cells is None else self.cells.before
        sides = self.size if self.cells is None else self.cells.padded
        return np.array(before[::-1]), np.array(sides[::-1])

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """Points (K, 2) in the input's pixels of points (K, 2) in the image's."""
        return points * self.scale + np.array(self.offset)

    @property
    def length_scale(self) -> float:
        """What a length of α becomes in the input: the longer side of the input per longer side of
        the image, also where the image is squashed.
        """
        return max(self.size) / max(self.image)

    def draw(self, pixels: np.ndarray, settings: Settings) -> np.ndarray:
        """The input (H, W, 3) uint8 of an image (h, w, 3) uint8 of this frame."""
        resample = FILTERS[settings.resample]
        if self.fit == "squash":
            return resize_image(pixels, self.size, resample)
        if self.fit == "corner":  # padded first, then resized
            sides = tuple(round(side / self.scale[0]) for side in self.size)
            padded = _pasted(pixels, sides, offset=(0, 0), fill=settings.fill)
            return resize_image(padded, self.size, resample)
        inner = resize_image(pixels, self.inside, resample)
        return _pasted(inner, self.size, offset=self.offset, fill=settings.fill)


def _pasted(
    pixels: np.ndarray, size: tuple[int, int], *, offset: tuple[int, int], fill: int
) -> np.ndarray:
    """An image on a canvas of one grey, its upper left corner at ``offset`` (x, y)."""
    height, width = pixels.shape[:2]
    canvas = np.full((max(size[0], height), max(size[1], width), 3), fill, np.uint8)
    canvas[offset[1] : offset[1] + height, offset[0] : offset[0] + width] = pixels
    return canvas
