"""Depth scores of an image over its valid pixels, averaged over images; as predicted and aligned.

With p the predicted and d the true depth of a pixel, e = ln p − ln d:

    delta1, 2, 3  share of pixels with max(p/d, d/p) < 1.25, 1.25², 1.25³, in percent
    AbsRel        mean |p − d| / d                SqRel    mean (p − d)² / d, metres
    RMSE          √mean (p − d)², metres          RMSElog  √mean e²
    log10         mean |log₁₀ p − log₁₀ d|        SILog    100 · √(mean e² − mean² e)

An average over images is not the pooled one: RMSE of images of .3 and .5 m is .4 m, of all their
pixels .412 m. ``pooled_RMSE`` is the latter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.core.record import Metric, require_defined

#: Unit and better direction of each score.
SCORES = {
    "RMSE": ("m", "lower"),
    "AbsRel": ("ratio", "lower"),
    "delta1": ("%", "higher"),
    "delta2": ("%", "higher"),
    "delta3": ("%", "higher"),
    "log10": ("", "lower"),
    "RMSElog": ("", "lower"),
    "SILog": ("", "lower"),
    "SqRel": ("m", "lower"),
}
#: Those that are shown after aligning as well.
ALIGNED = ("RMSE", "AbsRel", "delta1")
ALIGNMENTS = ("least_squares", "median")
NEEDED = "the val part must hold depths between min_depth and max_depth inside of scored="


def depth_scores(predicted: Tensor, true: Tensor) -> dict[str, float]:
    """The scores of one image.

    Args:
        predicted: (n,) metres, > 0.
        true: (n,) metres, > 0.

    Returns:
        One value per name of ``SCORES``; NaN without pixels.
    """
    if not len(true):
        return dict.fromkeys(SCORES, math.nan)
    predicted, true = predicted.double(), true.double()
    ratio = torch.maximum(predicted / true, true / predicted)
    error, logs = predicted - true, predicted.log() - true.log()
    spread = (logs.square().mean() - logs.mean().square()).clamp_min(0)  # rounding may pass below 0
    values = dict(
        RMSE=error.square().mean().sqrt(),
        AbsRel=(error.abs() / true).mean(),
        log10=logs.abs().mean() / math.log(10),
        RMSElog=logs.square().mean().sqrt(),
        SILog=100 * spread.sqrt(),
        SqRel=(error.square() / true).mean(),
    )
    for power in (1, 2, 3):
        values[f"delta{power}"] = 100 * (ratio < 1.25**power).double().mean()
    return {name: float(values[name]) for name in SCORES}


def least_squares(predicted: Tensor, true: Tensor) -> Tensor:
    """s·p + t with the least Σ (s·p + t − d)², by the normal equations in float64; the prediction
    (n,) itself where they have no one solution.
    """
    p, d = predicted.double(), true.double()
    matrix = torch.stack([p.square().sum(), p.sum(), p.sum(), p.new_tensor(len(p))]).view(2, 2)
    determinant = matrix[0, 0] * matrix[1, 1] - matrix[0, 1].square()
    if determinant <= 1e-12 * matrix[0, 0] * matrix[1, 1]:  # constant but for rounding
        return p
    scale, shift = torch.linalg.solve(matrix, torch.stack([(p * d).sum(), d.sum()]))
    return scale * p + shift


def median_scaled(predicted: Tensor, true: Tensor) -> Tensor:
    """p · median(d) / median(p), (n,) float64; of an even number the mean of the middle two."""
    p, d = predicted.double(), true.double()
    return p * (torch.quantile(d, 0.5) / torch.quantile(p, 0.5)) if len(p) else p


class DepthImages:
    """Scores image by image; holds a few numbers per image, never predictions.

    Args:
        least: Depths in metres at or below are not scored; predictions are clamped to it.
        most: Likewise at or above.
        scored: (top, left, bottom, right) of the scored pixels; () scores all.
    """

    def __init__(self, least: float, most: float, scored: tuple[int, ...] = ()) -> None:
        self._range, self._scored = (least, most), scored
        self._images: dict[int, dict[str, float]] = {}

    def add(self, prediction: Tensor, target: Tensor, image: int) -> None:
        """Counts one image.

        Args:
            prediction: (H, W) metres; clamped, after aligning where it is aligned.
            target: (H, W) metres, 0 = unknown.
            image: Its index.
        """
        if self._scored:
            top, left, bottom, right = self._scored
            prediction = prediction[top:bottom, left:right]
            target = target[top:bottom, left:right]
        least, most = self._range
        valid = (target > least) & (target < most)
        predicted, true = prediction[valid].double(), target[valid].double()
        clamped = predicted.clamp(least, most)
        row = depth_scores(clamped, true)
        for name, align in zip(ALIGNMENTS, (least_squares, median_scaled), strict=True):
            aligned = depth_scores(align(predicted, true).clamp(least, most), true)
            row |= {f"{name}_{score}": aligned[score] for score in ALIGNED}
        row |= dict(squared_error=float((clamped - true).square().sum()), known=len(true))
        self._images[image] = row

    def per_image(self) -> dict[str, list]:
        """Columns by image: each metric but the pooled one in its unit, NaN where no pixel is
        valid; squared_error in m² summed over the pixels, and known, their number.
        """
        images = sorted(self._images)
        table: dict[str, list] = {"image": images}
        for name in (*_means(), "squared_error", "known"):
            table[name] = [self._images[image][name] for image in images]
        return table

    def metrics(self) -> dict[str, Metric]:
        """Means over the images that have a valid pixel, and ``pooled_RMSE``.

        Raises:
            ValueError: no image has one, or a prediction is not finite.
        """
        table = self.per_image()
        rows = [row for row, known in enumerate(table["known"]) if known]
        metrics = {}
        for name, (unit, better) in _means().items():
            values = [table[name][row] for row in rows]
            mean = math.fsum(values) / len(values) if values else math.nan
            metrics[name] = Metric(mean, unit, better)
        pooled = sum(table["squared_error"]) / (sum(table["known"]) or math.nan)
        metrics["pooled_RMSE"] = Metric(math.sqrt(pooled), "m", "lower")
        return require_defined("depth_bins", metrics, NEEDED)


def _means() -> dict[str, tuple[str, str]]:
    """Unit and direction of every metric that is a mean over images."""
    columns = dict(SCORES)
    for alignment in ALIGNMENTS:
        for name in ALIGNED:
            columns[f"{alignment}_{name}"] = SCORES[name]
    return columns


#: Names of all metrics, the most important first.
METRICS = (*SCORES, "pooled_RMSE", *(f"{a}_{name}" for a in ALIGNMENTS for name in ALIGNED))
