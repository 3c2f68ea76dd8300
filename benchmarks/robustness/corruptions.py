"""The 15 corruptions of ImageNet-C (Hendrycks and Dietterich 2019, arXiv 1903.12261) for images of
any size.

The parameters of the five severities are the published ones, those of the release that made the
files. They were chosen for images whose shorter side is 224; at other sizes lengths in pixels are
multiplied by shorter side / 224 where a module says so. The noise is drawn anew, ImageMagick and
scikit-image are not used, and the ice of ``frost`` is drawn, not photographed: **numbers on these
images are not comparable with numbers on the published ImageNet-C files**, only with each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np

from benchmarks.robustness import blur, digital, noise, weather
from pretrain.names import check_choice

Corruption = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]

#: In the order of the paper's tables: noise, blur, weather, digital.
CORRUPTIONS: dict[str, Corruption] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "impulse_noise": noise.impulse_noise,
    "defocus_blur": blur.defocus_blur,
    "glass_blur": blur.glass_blur,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "frost": weather.frost,
    "fog": weather.fog,
    "brightness": weather.brightness,
    "contrast": digital.contrast,
    "elastic_transform": digital.elastic_transform,
    "pixelate": digital.pixelate,
    "jpeg_compression": digital.jpeg_compression,
}
SEVERITIES = (1, 2, 3, 4, 5)


def corrupt(image: np.ndarray, name: str, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Corrupts one image.

    Args:
        image: (H, W, 3) uint8 RGB, of any size.
        name: One of ``CORRUPTIONS``.
        severity: 1 to 5.
        rng: Source of everything random; see :func:`generator`.

    Returns:
        (H, W, 3) uint8, a new array.

    Raises:
        ValueError: an unknown name or severity, another shape or dtype.
    """
    check_choice("corruption", name, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise ValueError(f"severity={severity!r} is not one of 1, 2, 3, 4, 5")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape) < 1:
        raise ValueError(
            f"image must be (H, W, 3) uint8 with at least one pixel, found {image.shape} "
            f"{image.dtype}"
        )
    return CORRUPTIONS[name](np.ascontiguousarray(image), severity, rng)


def generator(seed: int, image: str, name: str, severity: int) -> np.random.Generator:
    """The random numbers of one corrupted image: the same in any order, process and subset.

    Args:
        seed: Of the benchmark.
        image: Name of the image that does not depend on where the data lies, its path below the
            root.
        name: Of the corruption.
        severity: 1 to 5.
    """
    key = "\0".join((str(seed), image, name, str(severity))).encode("utf-8", "surrogateescape")
    return np.random.default_rng(np.frombuffer(hashlib.sha256(key).digest(), np.uint32))
