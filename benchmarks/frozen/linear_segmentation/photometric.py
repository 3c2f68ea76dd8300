"""Changes of colour in published segmentation recipes: brightness, contrast, saturation and hue,
each with probability ½, contrast before or after the other two.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_BRIGHTNESS = 32 / 255  # added, at most
_FACTORS = 0.5, 1.5  # of contrast and saturation


@dataclass(frozen=True)
class Distortion:
    """What happens to one image; a value that is None leaves it as it is.

    Attributes:
        brightness: added to colours in [0, 1].
        contrast: colours are multiplied by it.
        saturation: that of HSV is multiplied by it.
        hue: added to that of HSV, in turns of the circle.
        contrast_last: contrast after saturation and hue instead of before them.
    """

    brightness: float | None = None
    contrast: float | None = None
    saturation: float | None = None
    hue: float | None = None
    contrast_last: bool = False


def draw(rng: np.random.Generator, hue: float) -> Distortion:
    """Draws a distortion; always the same number of draws.

    Args:
        rng: of one image.
        hue: the largest shift, in turns.
    """
    coins = rng.random(5) < 0.5
    values = (
        rng.uniform(-_BRIGHTNESS, _BRIGHTNESS),
        rng.uniform(*_FACTORS),
        rng.uniform(*_FACTORS),
        rng.uniform(-hue, hue),
    )
    drawn = []
    for coin, value in zip(coins, values, strict=False):
        drawn.append(value if coin else None)
    return Distortion(*drawn, contrast_last=bool(coins[4]))


def distort(image: np.ndarray, distortion: Distortion) -> np.ndarray:
    """Applies a distortion to (h, w, 3) float32 RGB in [0, 1]; cut off at 0 and 1 after each
    change. The image itself is not changed.
    """
    if distortion.brightness is not None:
        image = np.clip(image + np.float32(distortion.brightness), 0, 1)
    if not distortion.contrast_last:
        image = _contrast(image, distortion.contrast)
    if distortion.saturation is not None or distortion.hue is not None:
        hsv = cv2.cvtColor(
            np.ascontiguousarray(image), cv2.COLOR_RGB2HSV
        )  # degrees, [0, 1], [0, 1]
        if distortion.saturation is not None:
            hsv[..., 1] = np.clip(hsv[..., 1] * np.float32(distortion.saturation), 0, 1)
        if distortion.hue is not None:
            hsv[..., 0] = (hsv[..., 0] + np.float32(360 * distortion.hue)) % 360
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if distortion.contrast_last:
        image = _contrast(image, distortion.contrast)
    return image


def _contrast(image: np.ndarray, factor: float | None) -> np.ndarray:
    return image if factor is None else np.clip(image * np.float32(factor), 0, 1)
