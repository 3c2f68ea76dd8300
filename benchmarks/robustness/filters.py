"""Kernels and warps of the blurs; every length is in pixels of the image that is filtered."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from scipy import fft


def gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (H, W) or (H, W, C) float32, kernel cut at 4 σ, borders continued by their
    last value.
    """
    width = 2 * int(4 * sigma + 0.5) + 1
    return cv2.GaussianBlur(image, (width, width), sigmaX=sigma, borderType=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=32)
def disc(radius: float, smoothing: float, scale: float) -> np.ndarray:
    """Kernel of an out-of-focus lens: a disc, its edge smoothed by a Gaussian, sum 1, odd sides,
    float32.

    Args:
        radius: In pixels of a 224-pixel image.
        smoothing: σ of the Gaussian in pixels; its kernel has 3 x 3 pixels, 5 x 5 above radius 8.
        scale: Of the image, see ``pixels.length_scale``. Enlarged discs are drawn larger. Reduced
            ones are drawn as published, and each weight is shared among the pixels around its
            reduced place, so that the blur goes smoothly to nothing.
    """
    drawn = radius * max(1.0, scale)
    reach = math.ceil(drawn) + 2
    places = np.arange(-reach, reach + 1)
    inside = (places[:, None] ** 2 + places**2 <= drawn**2).astype(np.float32)
    side = 3 if radius <= 8 else 5
    kernel = cv2.GaussianBlur(inside, (side, side), sigmaX=smoothing)
    if scale < 1:
        kernel = _reduced(kernel, scale)
    return kernel / kernel.sum()


def _reduced(kernel: np.ndarray, scale: float) -> np.ndarray:
    """Moves every weight of a (2r + 1, 2r + 1) kernel to ``scale`` times its offset, linearly
    between pixels.
    """
    reach = len(kernel) // 2
    goal = math.ceil(reach * scale)
    offsets = np.arange(-reach, reach + 1) * scale
    distance = np.abs(offsets[None] - np.arange(-goal, goal + 1)[:, None])
    share = np.maximum(0, 1 - distance).astype(np.float32)
    return share @ kernel @ share.T


def motion_blur(image: np.ndarray, radius: float, sigma: float, *, angle: float) -> np.ndarray:
    """Blur along a line, one-sided: weights exp(-i² / 2σ²) at i = 0 … 2⌈radius⌉ steps in a
    direction.

    Each step takes the nearest pixel, borders are continued by their last value: our reading of
    ImageMagick's MotionBlurImage, which made the published files.

    Args:
        image: (H, W) or (H, W, C) float32.
        radius: Half the number of steps.
        sigma: Of the weights, pixels.
        angle: Degrees, clockwise from the right.
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    x = np.ceil(steps * math.cos(math.radians(angle)) - 0.5).astype(np.int64)
    y = np.ceil(steps * math.sin(math.radians(angle)) - 0.5).astype(np.int64)
    kernel = np.zeros((np.ptp(y) + 1, np.ptp(x) + 1), np.float32)
    np.add.at(kernel, (y - y.min(), x - x.min()), weights / weights.sum())
    anchor = int(-x.min()), int(-y.min())
    return cv2.filter2D(image, -1, kernel, anchor=anchor, borderType=cv2.BORDER_REPLICATE)


def zoom(image: np.ndarray, factor: float) -> np.ndarray:
    """Enlarges the middle of (H, W) or (H, W, C) float32 to the same shape, linearly.

    As in the release, the middle is a whole number of pixels, ⌈side / factor⌉, whose first and last
    pixel become the first and last one of round(⌈side / factor⌉ · factor); of these the middle is
    kept.
    """
    height, width = image.shape[:2]
    start_y, step_y = _zoomed_line(height, factor)
    start_x, step_x = _zoomed_line(width, factor)
    matrix = np.array([[step_x, 0, start_x], [0, step_y, start_y]], np.float64)
    return cv2.warpAffine(
        image,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def _zoomed_line(side: int, factor: float) -> tuple[float, float]:
    """Where the first pixel of a zoomed row lies in the row, and how far apart its pixels are."""
    kept = math.ceil(side / factor)
    enlarged = round(kept * factor)
    step = (kept - 1) / max(1, enlarged - 1)
    return (side - kept) // 2 + (enlarged - side) // 2 * step, step


def smooth_field(shape: tuple[int, int], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Noise, uniform in (-1, 1), behind a Gaussian cut at 3 σ with mirrored borders: (H, W)
    float32.

    A mirrored border makes the blur a product in the basis of the cosine transform: the result of
    the sum over the kernel, without a kernel that may be several times as wide as the image.
    """
    noise = rng.uniform(-1, 1, shape)
    rows, columns = _transfer(shape[0], sigma), _transfer(shape[1], sigma)
    return fft.idctn(fft.dctn(noise) * rows[:, None] * columns).astype(np.float32)


@lru_cache(maxsize=32)
def _transfer(side: int, sigma: float) -> np.ndarray:
    """What the Gaussian leaves of each of ``side`` cosines."""
    reach = np.arange(-int(3 * sigma + 0.5), int(3 * sigma + 0.5) + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2)
    return np.cos(np.pi * np.arange(side)[:, None] * reach / side) @ (weights / weights.sum())
