"""Angles between predicted and true surface normals.

Two averages are published and must not be compared with each other:

- pooled, over all valid pixels of the scored part: mean, median and RMSE in degrees, shares of
  pixels below 5, 7.5, 11.25, 22.5 and 30 degrees;
- per image, then over images: RMSE and the shares below 11.25, 22.5 and 30 degrees, under names
  that begin with ``image_``.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.record import Metric, require_defined

LIMITS = (5.0, 7.5, 11.25, 22.5, 30.0)  # degrees
_OF_IMAGES = LIMITS[2:]
NEEDED = "the val part must hold known normals, and predictions must be finite"


def share_name(limit: float) -> str:
    """Name of the share below so many degrees: ``within_11_25``."""
    return f"within_{limit:g}".replace(".", "_")


#: Names of all metrics, the most important first.
METRICS = (
    "mean_angle",
    "median_angle",
    "RMSE",
    *map(share_name, LIMITS),
    "image_RMSE",
    *(f"image_{share_name(limit)}" for limit in _OF_IMAGES),
)


def angles(predicted: Tensor, true: Tensor) -> Tensor:
    """Degrees (n,) float64 between vectors (n, 3) of any length; float32 would be off by .02° near
    0.
    """
    p, t = F.normalize(predicted.double(), dim=-1), F.normalize(true.double(), dim=-1)
    return torch.rad2deg((p * t).sum(-1).clamp(-1, 1).acos())


class NormalImages:
    """Adds up angles image by image, and keeps all of them, 4 bytes per pixel, for their median:
    .8 GB for the 654 images of NYUv2.
    """

    def __init__(self) -> None:
        self._angles: list[np.ndarray] = []
        self._images: dict[int, dict[str, float]] = {}

    def add(self, prediction: Tensor, target: Tensor, image: int) -> None:
        """Counts one image.

        Args:
            prediction: (H, W, 3), of any length.
            target: (H, W, 3), (0, 0, 0) = unknown.
            image: Its index.
        """
        valid = target.any(-1)
        degrees = angles(prediction[valid], target[valid])
        known = len(degrees)
        row = dict(known=known, degrees=float(degrees.sum()))
        row["squared_error"] = float(degrees.square().sum())
        for limit in LIMITS:
            row[share_name(limit)] = int((degrees < limit).sum())
        row["image_RMSE"] = math.sqrt(row["squared_error"] / known) if known else math.nan
        for limit in _OF_IMAGES:
            name = share_name(limit)
            row[f"image_{name}"] = 100 * row[name] / known if known else math.nan
        self._images[image] = row
        self._angles.append(degrees.float().cpu().numpy())

    def per_image(self) -> dict[str, list]:
        """Columns by image: known pixels, degrees and squared_error (squared degrees) summed over
        them, pixels below each limit as ``pixels_within_…``, and each metric that begins with
        ``image_``.
        """
        images = sorted(self._images)
        table: dict[str, list] = {"image": images}
        pixels = [share_name(limit) for limit in LIMITS]
        for name in ("known", "degrees", "squared_error", *pixels, *METRICS[-4:]):
            column = f"pixels_{name}" if name in pixels else name
            table[column] = [self._images[image][name] for image in images]
        return table

    def metrics(self) -> dict[str, Metric]:
        """See the module.

        Raises:
            ValueError: no normal is known, or a prediction is not finite.
        """
        table = self.per_image()
        known = sum(table["known"]) or math.nan
        every = np.concatenate(self._angles) if known > 0 else np.full(1, np.nan)
        metrics = {
            "mean_angle": Metric(sum(table["degrees"]) / known, "°", "lower"),
            "median_angle": Metric(float(np.median(every)), "°", "lower"),
            "RMSE": Metric(math.sqrt(sum(table["squared_error"]) / known), "°", "lower"),
        }
        for name in map(share_name, LIMITS):
            share = 100 * sum(table[f"pixels_{name}"]) / known
            metrics[name] = Metric(share, "%", "higher")
        rows = [row for row, count in enumerate(table["known"]) if count]
        for name in METRICS[-4:]:
            unit, better = ("°", "lower") if name == "image_RMSE" else ("%", "higher")
            mean = math.fsum(table[name][row] for row in rows) / (len(rows) or math.nan)
            metrics[name] = Metric(mean, unit, better)
        return require_defined("normals", metrics, NEEDED)
