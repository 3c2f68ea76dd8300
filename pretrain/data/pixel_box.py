"""A source image's region in pixels: what to decode, what to cut out, and where it lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pretrain.data.source_image import Box
from pretrain.views.crop import decode_scale


@dataclass(frozen=True)
class PixelBox:
    """A source image's region in whole pixels of the full-size upright image.

    Attributes:
        image: (H, W) of the whole image. top, left, height, width: of the region.
    """

    image: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    @staticmethod
    def of(box: Box | None, image: tuple[int, int]) -> PixelBox:
        """Rounds a box to whole pixels, at least one; None is the whole image."""
        height, width = image
        if box is None:
            return PixelBox(image, 0, 0, height, width)
        left, right = _rounded(box[0], box[2], width)
        top, bottom = _rounded(box[1], box[3], height)
        return PixelBox(image, top, left, bottom - top, right - left)

    def decode_size(self, region: tuple[int, int]) -> tuple[int, int]:
        """Returns the smallest (h, w) of the whole image whose region is at least ``region``."""
        if (self.height, self.width) == self.image:
            return region
        need = max(region[0] / self.height, region[1] / self.width)
        return min(math.ceil(self.image[0] * need), self.image[0]), min(
            math.ceil(self.image[1] * need), self.image[1]
        )

    def cut(self, decoded: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """Cuts the region out of a decoded image that may be scaled down.

        Args:
            decoded: (H', W', 3), the whole image at full size or as JPEG decoders scale it.

        Returns:
            The region, as large as the decoder would have made it were it a file of its own, and by
            how much it lies further right and down than it should, in units of its width and
            height: at most half a decoded pixel (a whole one at the image's edge), 0 at full size.
        """
        scale_y, scale_x = decode_scale(self.image, decoded.shape[:2])
        top, height = _snapped(self.top, self.height, scale_y, self.image[0], decoded.shape[0])
        left, width = _snapped(self.left, self.width, scale_x, self.image[1], decoded.shape[1])
        shift = (
            (left / scale_x - self.left) / self.width,
            (top / scale_y - self.top) / self.height,
        )
        return decoded[top : top + height, left : left + width], shift


def _rounded(low: float, high: float, size: int) -> tuple[int, int]:
    """Returns (first, end) in whole pixels inside the image, at least one of them."""
    first = min(max(round(low * size), 0), size - 1)
    return first, min(max(round(high * size), first + 1), size)


def _snapped(start: int, length: int, scale: float, image: int, decoded: int) -> tuple[int, int]:
    """Returns (first, length) in decoded pixels; those used lie wholly inside the image."""
    count = math.ceil(length * scale)
    last = min(decoded - count, math.floor(image * scale) - math.floor(length * scale))
    return min(round(start * scale), last), count
