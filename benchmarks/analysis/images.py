"""Images of a class folder in any order: what analyses look at more than once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.class_folder import ClassSplit
from benchmarks.data.loading import ordered_map

_AHEAD = 64  # images decoded while others are put together


def evenly_spread(count: int, most: int) -> range:
    """Returns the numbers of at most ``most`` of ``count`` images, every n-th."""
    return range(0, count, -(-count // most))


def read_images(
    split: ClassSplit,
    chosen: Sequence[int],
    *,
    size: int,
    crop_fraction: float,
    resample: Image.Resampling = Image.Resampling.BILINEAR,
) -> Tensor:
    """Returns images (n, 3, size, size) uint8 in the order of ``chosen``.

    Args:
        split: the part of the data that they are numbers of.
        chosen: n numbers.
        size: side of the square in pixels.
        crop_fraction: the shorter side is resized to size / crop_fraction, then the centre is cut.
        resample: how it is resized.

    Raises:
        ValueError: an image cannot be read; names the file.
    """

    def square(index: int) -> np.ndarray:
        return split.image(index, size, crop_fraction, resample=resample)

    images = np.stack(list(ordered_map(square, chosen, _AHEAD)))
    return torch.from_numpy(images).permute(0, 3, 1, 2)
