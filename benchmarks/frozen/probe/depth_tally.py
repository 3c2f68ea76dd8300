"""Depth scores of images: root mean square error and δ₁, as predicted and after aligning scale and
shift.
"""

from __future__ import annotations

import math

from torch import Tensor

from benchmarks.core.record import Metric, require_defined
from benchmarks.frozen.probe.losses import align

_COLUMNS = ("squared_error", "within", "aligned_squared_error", "aligned_within", "known")


class AlignedDepthTally:
    """Adds up errors image by image; holds five numbers per image, never predictions.

        RMSE = √(mean (d̂ − d)²) in metres
        δ₁ = share of pixels with d̂ > 0 and max(d̂ / d, d / d̂) < 1.25

    over the pixels of known depth d of the whole part; aligned: of a·d̂ + b with the least-squares
    scale and shift of each image, found with its true depths.

    Args:
        metric: Whether predictions are metres; without, only aligned scores have a meaning, and
            no others are computed.
    """

    def __init__(self, metric: bool = True) -> None:
        self.metric = metric
        self._images: dict[int, tuple[float, ...]] = {}

    def add(self, prediction: Tensor, target: Tensor, image: int) -> None:
        """Counts one image.

        Args:
            prediction: (H, W) metres, or depths up to scale and shift.
            target: (H, W) metres, 0 = unknown.
            image: Its index.
        """
        known = target > 0
        predicted, true = prediction[known].double(), target[known].double()
        scale, shift = align(predicted[None, None], true[None, None], (true > 0)[None, None])
        scores = (
            *_errors(predicted, true),
            *_errors(scale * predicted + shift, true),
            int(known.sum()),
        )
        self._images[image] = scores

    def per_image(self) -> dict[str, list]:
        """Columns by image: (aligned) squared_error in m² summed over pixels, within and known in
        pixels.
        """
        images = sorted(self._images)
        table: dict[str, list] = {"image": images}
        for column, name in enumerate(_COLUMNS):
            if self.metric or column >= 2:
                table[name] = [self._images[image][column] for image in images]
        return table

    def metrics(self) -> dict[str, Metric]:
        """RMSE in metres and delta1 in percent, those of aligned predictions under ``aligned_``.

        Raises:
            ValueError: no depth is known, or a prediction is not finite.
        """
        table = {name: sum(column) for name, column in self.per_image().items()}
        known = table["known"] or math.nan
        metrics = {}
        for prefix in ("", "aligned_") if self.metric else ("aligned_",):
            error = math.sqrt(table[f"{prefix}squared_error"] / known)
            share = 100 * table[f"{prefix}within"] / known
            metrics[f"{prefix}RMSE"] = Metric(error, "m", "lower")
            metrics[f"{prefix}delta1"] = Metric(share, "%", "higher")
        missing = (
            "the val part must hold known depths (check depth=), and predictions must be finite"
        )
        return require_defined("depth_probe", metrics, missing)


def _errors(predicted: Tensor, true: Tensor) -> tuple[float, int]:
    """Sum of squared errors, and how many predictions lie within the factor 1.25; a depth is never
    negative.
    """
    within = (predicted < 1.25 * true) & (1.25 * predicted > true)
    return float((predicted - true).square().sum()), int(within.sum())
