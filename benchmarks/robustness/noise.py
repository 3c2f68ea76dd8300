"""Noise: gaussian_noise, shot_noise, impulse_noise. Drawn per pixel and channel, so nothing scales
with the size.
"""

from __future__ import annotations

import numpy as np

from benchmarks.robustness.pixels import as_bytes, as_float

GAUSSIAN_STD = (0.08, 0.12, 0.18, 0.26, 0.38)  # of the full range
SHOT_PHOTONS = (60, 25, 12, 5, 3)  # that white stands for: fewer are noisier
IMPULSE_SHARE = (0.03, 0.06, 0.09, 0.17, 0.27)  # of the values, half of them to 0, half to 255


def gaussian_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """x + N(0, σ²), x in [0, 1]; clipped. (H, W, 3) uint8 to the same."""
    noise = rng.standard_normal(image.shape, dtype=np.float32)
    return as_bytes(as_float(image) + GAUSSIAN_STD[severity - 1] * noise)


def shot_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Poisson(n x) / n, x in [0, 1]: variance x / n; clipped. (H, W, 3) uint8 to the same."""
    photons = SHOT_PHOTONS[severity - 1]
    return as_bytes(rng.poisson(as_float(image) * photons).astype(np.float32) / photons)


def impulse_noise(image: np.ndarray, severity: int, rng: np.random.Generator) -> np.ndarray:
    """Salt and pepper on single values: a share becomes 0 or 255, evenly. (H, W, 3) uint8 to the
    same.
    """
    share = IMPULSE_SHARE[severity - 1]
    drawn = rng.random(image.shape, dtype=np.float32)
    return np.where(drawn < share / 2, np.uint8(0), np.where(drawn < share, np.uint8(255), image))
