"""A view cut to its object: the network's input, and a point in metres for each of its cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from benchmarks.data.correspondences.view import View
from benchmarks.frozen.matching.settings import Settings


@dataclass(frozen=True, eq=False)
class Cut:
    """What is shown and known of a view.

    Attributes:
        pixels: (S, S, 3) uint8 RGB, the input.
        points: (g, g, 3) float32 metres in the camera's frame; z = 0 where the depth is not known.
        focal: in pixels of the input.
    """

    pixels: np.ndarray
    points: np.ndarray
    focal: float


def cut_view(view: View, image: np.ndarray, depth: np.ndarray, settings: Settings) -> Cut:
    """Cuts a view: shorter side to the input's by nearest pixels (of a smaller copy), the middle
    square, of it the square around all known depths, that again to the input's size.

    A cell's point is that of its first pixel, as nearest resizing to the cells has it.

    Args:
        view: its size and focal length.
        image: (H, W, 3) uint8.
        depth: (h, w) float32 metres, 0 where not known; of the image's aspect.
        settings: ``size``, ``copy_side``, ``stride``.

    Raises:
        ValueError: a depth map of another aspect, or without a known depth; names the file.
    """
    side = settings.size[0]
    if settings.copy_side:
        image = _copy(image, settings.copy_side, Image.Resampling.BILINEAR)
        depth = _copy(depth, settings.copy_side, Image.Resampling.NEAREST)
    if image.shape[:2] != depth.shape:
        raise ValueError(
            f"{view.depth}: a depth map of {depth.shape[1]} x {depth.shape[0]} pixels does not fit "
            f"its image of {image.shape[1]} x {image.shape[0]}"
        )
    image, depth = (_middle_square(_short_side(array, side), side) for array in (image, depth))
    if not (depth > 0).any():
        raise ValueError(f"{view.depth}: no depth is known in the middle square of the image")
    focal = view.focal * side / min(view.size)
    points = _points(depth, focal)
    window = _window(depth > 0)
    length = window[0].stop - window[0].start
    points = _nearest(points[window], (side, side))[:: settings.stride, :: settings.stride]
    return Cut(_nearest(image[window], (side, side)), points, focal * side / length)


def _copy(array: np.ndarray, side: int, resample: Image.Resampling) -> np.ndarray:
    """An image or a depth map with a shorter side of so many pixels; the longer is rounded down."""
    height, width = array.shape[:2]
    factor = side / min(height, width)
    size = int(width * factor), int(height * factor)
    return np.asarray(Image.fromarray(array).resize(size, resample))


def _short_side(array: np.ndarray, side: int) -> np.ndarray:
    """The same with a shorter side of so many pixels, by nearest pixels."""
    height, width = array.shape[:2]
    short = min(height, width)
    return _nearest(array, (int(side * height / short), int(side * width / short)))


def _nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (h, w, …) to (H, W, …): pixel i is ⌊i · h / H⌋, not the one under its centre."""
    rows, columns = (
        np.arange(new) * old // new for old, new in zip(array.shape[:2], size, strict=True)
    )
    return array[rows[:, None], columns]


def _middle_square(array: np.ndarray, side: int) -> np.ndarray:
    """The middle (side, side, …) of an array."""
    top, left = (round((length - side) / 2) for length in array.shape[:2])
    return array[top : top + side, left : left + side]


def _points(depth: np.ndarray, focal: float) -> np.ndarray:
    """(S, S, 3) points in metres of depths (S, S); the axis meets the middle."""
    side = len(depth)
    places = (np.arange(side, dtype=np.float32) + 0.5 - side / 2) / focal
    return np.stack([places[None] * depth, places[:, None] * depth, depth], -1).astype(np.float32)


def _window(known: np.ndarray) -> tuple[slice, slice]:
    """The square around known pixels (S, S), shifted into the image; its side is the distance of
    the first and the last of them, in rows or columns.
    """
    places = np.argwhere(known)
    low, high = places.min(0), places.max(0)
    length = int(max(1, (high - low).max()))
    slack = length - (high - low)
    start = low - slack // 2
    if (start < 0).any() or (start + length > len(known)).any():
        start = np.maximum(low - slack, 0)
    return tuple(slice(int(first), int(first) + length) for first in start)
