"""Photometrics of one uint8 image with OpenCV, for CPU workers.

The same parameters and definitions as ``photometric_torch``. Every step rounds to 8 bits, so the
two differ by rounding: by about one level per step, more where a later step amplifies it.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from pretrain.structures import Photometric
from pretrain.views.photometric import (
    BRIGHTNESS,
    CONTRAST,
    GREY_WEIGHTS,
    SATURATION,
    blur_kernel,
    blur_radius,
)

_GREY = np.array(GREY_WEIGHTS)


def apply_cv2(image: np.ndarray, photometric: Photometric) -> np.ndarray:
    """Applies jitter in its order, greyscale, blur and solarise to one image.

    Args:
        image: (H, W, 3) uint8 RGB, C-contiguous; unchanged.
        photometric: 0-d fields.

    Returns:
        (H, W, 3) uint8; ``image`` itself when there is nothing to do.

    Raises:
        ValueError: ``image`` has another shape or dtype.

    Cost: about 0.25 ms for a 224-px view of the PixPro recipe.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image of shape {image.shape} and dtype {image.dtype}: must be (H, W, 3) uint8"
        )
    factors = [
        float(value)
        for value in (
            photometric.brightness,
            photometric.contrast,
            photometric.saturation,
            photometric.hue,
        )
    ]
    for step in photometric.order.tolist():
        if step < 3 and factors[step] != 1:
            image = _blend(image, step, factors[step])
        elif step == 3 and factors[3] != 0:
            image = _hue(image, factors[3])
    if bool(photometric.grey):
        image = cv2.transform(image, np.tile(_GREY, (3, 1)))
    if photometric.blur_sigma > 0:
        image = _blur(image, photometric.blur_sigma)
    threshold = float(photometric.solarise)
    return _solarise(image, threshold) if threshold <= 1 else image


def apply_cv2_planar(planes: np.ndarray, photometric: Photometric) -> None:
    """:func:`apply_cv2` in place on (3, H, W) uint8, C-contiguous: the layout of views."""
    image = cv2.merge(list(planes))
    # OpenCV (un)packs channels ten times as fast as a transposed copy.
    cv2.split(apply_cv2(image, photometric), list(planes))


def _blend(image: np.ndarray, step: int, factor: float) -> np.ndarray:
    """Brightness, contrast and saturation are affine in RGB: one 3 × 4 matrix each, clamped to [0,
    255] by OpenCV.
    """
    matrix = np.zeros((3, 4))
    matrix[:, :3] = np.eye(3) * factor
    if step == SATURATION:
        matrix[:, :3] += (1 - factor) * _GREY
    elif step == CONTRAST:
        matrix[:, 3] = (1 - factor) * (_GREY @ cv2.mean(image)[:3])
    else:
        assert step == BRIGHTNESS, step
    return cv2.transform(image, matrix)


def _hue(image: np.ndarray, turns: float) -> np.ndarray:
    """Through HSV in float32, hue in degrees: OpenCV's 8-bit HSV would round it to 1.4 degrees."""
    hsv = cv2.cvtColor(image.astype(np.float32), cv2.COLOR_RGB2HSV)
    # OpenCV takes hues beyond 360 modulo 360, but not below 0: hence the shift modulo one turn.
    hsv[..., 0] += np.float32(360 * (turns % 1.0))
    return cv2.convertScaleAbs(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def _blur(image: np.ndarray, sigma: Tensor) -> np.ndarray:
    """Separable, in float32 between the passes; twice as fast as cv2.GaussianBlur's fixed-point
    path at these radii."""
    radius = int(blur_radius(sigma))
    weights = blur_kernel(sigma, radius).numpy()
    kernels = []
    for length in image.shape[1::-1]:  # width, height
        reach = min(radius, length - 1)
        kernel = weights[radius - reach : radius + reach + 1]
        kernels.append((kernel / kernel.sum()).astype(np.float32))
    return cv2.sepFilter2D(image, -1, kernels[0], kernels[1], borderType=cv2.BORDER_REFLECT_101)


def _solarise(image: np.ndarray, threshold: float) -> np.ndarray:
    """One table of 256 entries."""
    levels = np.arange(256, dtype=np.uint8)
    above = levels.astype(np.float32) / np.float32(255) >= np.float32(threshold)
    return cv2.LUT(image, np.where(above, 255 - levels, levels).astype(np.uint8))
