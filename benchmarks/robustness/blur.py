"""Blurs: defocus_blur, glass_blur, motion_blur, zoom_blur. Lengths in pixels scale with the shorter
side over 224.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from benchmarks.robustness import filters
from benchmarks.robustness.pixels import as_bytes, as_float, length_scale

#: Radius of the disc, smoothing of its edge.
DEFOCUS = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))
#: σ, largest displacement, passes.
GLASS = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))
MOTION = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))  # radius, σ
#: Factors of the images that are averaged: first, step, how many.
ZOOM = ((1, 0.01, 12), (1, 0.01, 16), (1, 0.02, 11), (1, 0.02, 13), (1, 0.03, 11))


def defocus_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Convolution with a disc, borders mirrored; draws nothing. (H, W, 3) uint8 to the same.

    At 224 pixels the kernel is the published one but for its outermost ring, which the release cuts
    off at radius 8 and 10.
    """
    radius, smoothing = DEFOCUS[severity - 1]
    kernel = filters.disc(radius, smoothing, length_scale(image.shape))
    return as_bytes(cv2.filter2D(as_float(image), -1, kernel, borderType=cv2.BORDER_REFLECT_101))


def glass_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur, pixels moved about, Gaussian blur. (H, W, 3) uint8 to the same.

    Both blurs and the displacements scale; scaled displacements are rounded up or down by lot, in
    proportion.
    """
    sigma, reach, passes = GLASS[severity - 1]
    scale = length_scale(image.shape)
    blurred = as_bytes(filters.gaussian(as_float(image), sigma * scale))
    for _ in range(passes):
        blurred = scattered(blurred, *_displacements(blurred.shape, reach, scale=scale, rng=rng))
    return as_bytes(filters.gaussian(as_float(blurred), sigma * scale))


def _displacements(
    shape: tuple[int, ...], reach: int, *, scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Draws (h, w, 2) int64 steps (rows, columns) for the pixels that are moved; and their largest
    size.

    Published: whole numbers from -reach to reach - 1, for pixels from reach + 1 to side - reach.
    """
    margin = math.ceil(reach * scale)
    height, width = (max(0, side - 2 * margin) for side in shape[:2])
    steps = rng.integers(-reach, reach, (height, width, 2))
    lot = rng.random(steps.shape, dtype=np.float32)
    return np.floor(steps * scale + lot).astype(np.int64), margin


def scattered(image: np.ndarray, steps: np.ndarray, margin: int) -> np.ndarray:
    """Gives pixels the values of neighbours, one after the other from the last pixel to the first.

    The release means to exchange two pixels, but exchanges two views of one array: the pixel takes
    its neighbour's value and the neighbour keeps its own. A neighbour that had its turn before
    hands on what it took. So a pixel's value comes from the end of a chain of steps; all chains are
    followed at once, in jumps of doubling length. The result equals the loop over pixels exactly.

    Args:
        image: (H, W, C).
        steps: (H - 2 margin, W - 2 margin, 2) int64, rows and columns, for pixels from margin + 1
            to side - margin; cut off at the borders, which only steps that were scaled can reach.
        margin: Largest step.
    """
    height, width = image.shape[:2]
    inside = np.s_[margin + 1 : height - margin + 1, margin + 1 : width - margin + 1]
    place = np.arange(height * width).reshape(height, width)
    rows, columns = np.indices((height, width), sparse=True)
    source = place.copy()
    source[inside] = width * np.clip(rows[inside[0]] + steps[..., 0], 0, height - 1)
    source[inside] += np.clip(columns[:, inside[1]] + steps[..., 1], 0, width - 1)
    moved = np.zeros((height, width), bool)
    moved[inside] = True
    place, source = place.ravel(), source.ravel()
    had_turn = (source > place) & moved.ravel()[source]  # those later in the image
    follow = np.where(had_turn, source, place)
    while True:
        further = follow[follow]
        if np.array_equal(further, follow):
            return image.reshape(height * width, -1)[source[follow]].reshape(image.shape)
        follow = further


def motion_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Blur along a line at -45 to 45 degrees, see ``filters.motion_blur``. (H, W, 3) uint8 to the
    same.
    """
    radius, sigma = np.multiply(MOTION[severity - 1], length_scale(image.shape))
    blurred = filters.motion_blur(as_float(image), radius, sigma, angle=rng.uniform(-45, 45))
    return as_bytes(blurred)


def zoom_blur(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Mean of the image and of enlargements of its middle; draws nothing. (H, W, 3) uint8 to the
    same.

    Factors are relative, so nothing scales. As in the release, the image itself counts twice:
    factor 1 is among the enlargements. The release zooms squares; other shapes are zoomed to their
    own aspect ratio here.
    """
    first, step, count = ZOOM[severity - 1]
    original = as_float(image)
    total = 2 * original
    for index in range(1, count):
        total += filters.zoom(original, first + index * step)
    return as_bytes(total / (count + 1))
