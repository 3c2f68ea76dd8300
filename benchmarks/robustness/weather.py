"""Weather: snow, frost, fog, brightness. Flakes, crystals and clouds scale with the size of the
image.
"""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.robustness import filters
from benchmarks.robustness.pixels import as_bytes, as_float, drawing_size, reduce_to
from benchmarks.robustness.textures import ice, plasma

#: Mean and deviation of the noise that flakes are cut from, their enlargement, the threshold,
#: radius and σ of their motion, and how much of the image stays unwhitened.
SNOW = (
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
#: Weights of the image and of the ice.
FROST = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))
#: Thickness, decay of the clouds' detail.
FOG = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))
BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)  # added to the value


def snow(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """A whitened image under two layers of falling flakes, one the other turned by 180°. (H, W, 3)
    uint8 to the same.

    Whitening mixes the image with max(x, 1.5 grey + 0.5). The flakes of images below 224 pixels are
    drawn at 224 and reduced.
    """
    mean, deviation, enlargement, threshold, radius, sigma, kept = SNOW[severity - 1]
    shape, scale = drawing_size(image.shape)
    flakes = mean + deviation * rng.standard_normal(shape, dtype=np.float32)
    flakes = filters.zoom(flakes, enlargement * scale)
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1).astype(np.float32)
    flakes = filters.motion_blur(
        flakes, radius * scale, sigma * scale, angle=rng.uniform(-135, -45)
    )
    flakes = reduce_to(flakes, image.shape)[..., None]
    original = as_float(image)
    grey = cv2.cvtColor(original, cv2.COLOR_RGB2GRAY)[..., None]
    whitened = kept * original + (1 - kept) * np.maximum(original, 1.5 * grey + 0.5)
    return as_bytes(whitened + flakes + flakes[::-1, ::-1])


def frost(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """a · image + b · ice, clipped. (H, W, 3) uint8 to the same.

    The release cuts the ice from five photographs; ours is drawn (``textures.ice``), with the
    published weights. The two look alike at best: no number of this corruption is comparable with
    one on the published files.
    """
    of_image, of_ice = FROST[severity - 1]
    shape, scale = drawing_size(image.shape)
    crystals = reduce_to(ice(shape, scale, rng), image.shape)
    return as_bytes(of_image * as_float(image) + of_ice * crystals)


def fog(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """(x + t · clouds) · m / (m + t), m the image's largest value. (H, W, 3) uint8 to the same; a
    black image stays.
    """
    thickness, decay = FOG[severity - 1]
    original = as_float(image)
    largest = float(original.max())
    clouds = plasma(image.shape, decay, rng)[..., None]
    return as_bytes((original + thickness * clouds) * (largest / (largest + thickness)))


def brightness(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Adds to the value of HSV, hue and saturation kept; draws nothing. (H, W, 3) uint8 to the
    same.

    With hue and saturation fixed, RGB is proportional to the value: no conversion is needed. Black
    becomes grey.
    """
    original = as_float(image)
    value = original.max(2, keepdims=True)
    brighter = np.minimum(value + BRIGHTNESS[severity - 1], 1)
    return as_bytes(np.where(value > 0, original * (brighter / np.maximum(value, 1e-6)), brighter))
