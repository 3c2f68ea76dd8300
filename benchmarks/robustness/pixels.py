"""What the corruptions share: bytes and floats, and how lengths in pixels follow the size of an
image.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Shorter side, in pixels, of the images for which the published lengths were chosen.
PUBLISHED_SIDE = 224
#: Pixels of a texture that is enlarged for a small image, or of clouds that are enlarged for a
#: large one.
LONGEST_DRAWN = 1024


def as_float(image: np.ndarray) -> np.ndarray:
    """Turns (H, W, 3) uint8 into float32 in [0, 1]."""
    return image.astype(np.float32) / 255


def as_bytes(image: np.ndarray) -> np.ndarray:
    """Turns floats, [0, 1] being the legal range, into uint8: clipped and rounded (the release cuts
    decimals off).
    """
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def length_scale(shape: tuple[int, ...]) -> float:
    """Factor for published lengths in an image of shape (H, W, …): its shorter side over 224."""
    return min(shape[:2]) / PUBLISHED_SIDE


def drawing_size(shape: tuple[int, ...]) -> tuple[tuple[int, int], float]:
    """The size (H, W) at which a texture for an image of this shape is drawn, and the factor for
    its lengths.

    Textures of images below 224 pixels are drawn at 224 and reduced, because flakes and crystals
    smaller than a pixel cannot be drawn at the image's own size; long strips are enlarged to a
    length of ``LONGEST_DRAWN`` at most.
    """
    height, width = shape[:2]
    scale = length_scale(shape)
    enlarged = max(1.0, min(1 / scale, LONGEST_DRAWN / max(height, width)))
    return (round(height * enlarged), round(width * enlarged)), scale * enlarged


def reduce_to(texture: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Resizes a texture (h, w) or (h, w, 3) float32 to the height and width of ``shape`` by
    averaging areas.
    """
    if texture.shape[:2] == tuple(shape[:2]):
        return texture
    return cv2.resize(texture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
