"""Digital: contrast, elastic_transform, pixelate, jpeg_compression."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from benchmarks.robustness.filters import smooth_field
from benchmarks.robustness.pixels import as_bytes, as_float, length_scale

CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # what is left of the distance to the mean
#: Strength of the displacement, σ of its smoothing, largest shift of the corners; in 244ths, as in
#: the release.
ELASTIC = (
    (2, 0.7, 0.1),
    (2, 0.08, 0.2),
    (0.05, 0.01, 0.02),
    (0.07, 0.01, 0.02),
    (0.12, 0.01, 0.02),
)
PIXELATE = (0.6, 0.5, 0.4, 0.3, 0.25)  # share of the sides that is kept
JPEG_QUALITY = (25, 18, 15, 10, 7)


def contrast(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """m + c (x - m), m the mean of each channel over the image; draws nothing. (H, W, 3) uint8 to
    the same.
    """
    original = as_float(image)
    mean = original.mean((0, 1), dtype=np.float64).astype(np.float32)
    return as_bytes(mean + CONTRAST[severity - 1] * (original - mean))


def elastic_transform(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A random affine map, then a smooth random displacement. (H, W, 3) uint8 to the same.

    Severities 1 and 2 are mostly affine, 3 to 5 mostly local: the published table, whose distance
    to the original does not grow from 2 to 3. Lengths scale with the size s of the image; the
    strength by s², because smoothing over s times the length leaves 1 / s of the noise.
    """
    scale = 244 * length_scale(image.shape)
    strength, sigma, shift = (value * scale for value in ELASTIC[severity - 1])
    height, width = image.shape[:2]
    centre, half = np.array([width // 2, height // 2]), min(height, width) // 3
    corners = (centre + half * np.array([[1, 1], [1, -1], [-1, -1]])).astype(np.float32)
    moved = corners + rng.uniform(-shift, shift, corners.shape).astype(np.float32)
    warped = as_float(image)
    if half > 0:  # three corners in one place define no map
        matrix = cv2.getAffineTransform(corners, moved)
        warped = cv2.warpAffine(warped, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    strength *= length_scale(image.shape)
    x = strength * smooth_field((height, width), sigma, rng)
    y = strength * smooth_field((height, width), sigma, rng)
    x += np.arange(width, dtype=np.float32)
    y += np.arange(height, dtype=np.float32)[:, None]
    return as_bytes(cv2.remap(warped, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def pixelate(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Reduced by averaging boxes and enlarged again by repeating; draws nothing. (H, W, 3) uint8 to
    the same.

    The share of the sides is fixed, so nothing scales.
    """
    height, width = image.shape[:2]
    small = tuple(max(1, int(side * PIXELATE[severity - 1])) for side in (width, height))
    reduced = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(reduced.resize((width, height), Image.Resampling.BOX))


def jpeg_compression(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Saved as JPEG and read again; draws nothing. (H, W, 3) uint8 to the same.

    Blocks have 8 pixels (16 for colour) at any size, so a small image loses more.
    """
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=JPEG_QUALITY[severity - 1])
    return np.asarray(Image.open(packed))
