"""The paired bootstrap over images: how far another draw of the images would move a difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain

import numpy as np

from benchmarks.core.record import Record
from benchmarks.core.scores import image_counts
from benchmarks.core.statistics import CONFIDENCE, Interval
from benchmarks.report.runs import Sample
from benchmarks.report.statistics.contract import Statistic

RESAMPLES = 2000
_BLOCK = 1 << 23  # weights in memory at once: 64 MB
# Metrics of depth: sums over pixels of an image, their divisor, and what follows the division.
_DEPTH = {"RMSE": ("squared_error", np.sqrt), "delta1": ("within", np.asarray)}


@dataclass(frozen=True)
class ImageSums:
    """A metric as sums over images: ``scale · finish(mean over columns of Σ parts / Σ wholes)``.

    Attributes:
        parts: (images, k) numerators; k classes for mIoU, else 1.
        wholes: (images, k) denominators; columns whose sum is 0 are left out of the mean.
        images: (images,) their numbers in the data.
    """

    parts: np.ndarray
    wholes: np.ndarray
    images: np.ndarray
    finish: Callable[[np.ndarray], np.ndarray] = np.asarray
    scale: float = 100.0

    def metric(self, parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
        """The metric (…) of summed numerators and denominators, each (…, k)."""
        ratios = np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes > 0)
        defined = (wholes > 0).sum(-1)
        mean = np.divide(
            ratios.sum(-1), defined, out=np.full(defined.shape, np.nan), where=defined > 0
        )
        return self.scale * self.finish(mean)


def image_sums(record: Record, metric: str) -> ImageSums | None:
    """Unpacks what a record keeps of every image.

    Returns:
        None where the counts do not give the metric: none are kept, or summing them over all
        images gives another number than the record's (the metric is no such mean, as with classes
        renamed by the Hungarian method).
    """
    sums = _read_sums(record.counts, metric)
    if sums is None:
        return None
    again = sums.metric(sums.parts.sum(0)[None], sums.wholes.sum(0)[None])[0]
    return sums if np.isclose(again, record.metrics[metric].value, rtol=1e-6) else None


def _read_sums(counts: dict, metric: str) -> ImageSums | None:
    table = counts.get("per_image", {})
    if metric in counts:  # 0 or 1 for every image, in order: accuracies
        return _mean_of(counts[metric], np.arange(len(counts[metric])), scale=100.0)
    if metric in table:
        return _mean_of(table[metric], np.array(table["image"]), scale=1.0)
    if "confusion" in counts and metric in ("mIoU", "pixel_accuracy"):
        intersection, union = image_counts(counts)
        images = np.array(list(dict.fromkeys(table["image"])))
        if metric == "mIoU":
            return ImageSums(intersection, union, images)
        right, either = intersection.sum(1), union.sum(1)
        return ImageSums(right[:, None], (either + right)[:, None] / 2, images)
    prefix = "aligned_" if metric.startswith("aligned_") else ""
    part, finish = _DEPTH.get(metric.removeprefix(prefix), ("", np.asarray))
    if f"{prefix}{part}" in table:
        parts, wholes = np.array(table[f"{prefix}{part}"]), np.array(table["known"])
        scale = 1.0 if part == "squared_error" else 100.0
        images = np.array(table["image"])
        return ImageSums(parts[:, None], wholes[:, None], images, finish, scale)
    return None


def _mean_of(values: list[float], images: np.ndarray, *, scale: float) -> ImageSums:
    parts = np.array(values, np.float64)[:, None]
    return ImageSums(parts, np.ones_like(parts), images, scale=scale)


def bootstrap_difference(
    sample: Sample, reference: Sample, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Difference to another row, with the interval that drawing other images would give it.

    The images are drawn with replacement, the same ones for all runs of both rows; per draw, each
    run's metric is computed anew, and the differences of paired runs are averaged. Draws are
    weights W (R, images), how often each image was drawn, so that all sums of all runs are one
    product W · counts (images, columns). Networks are taken as they are: the spread over seeds is
    not in it.

    Args:
        sample, reference: rows with runs in common, by ``pair``; a single run of each is a pair.
        resamples: R, draws of as many images as there are.
        seed: of the draws.

    Returns:
        The difference on all images, ± half the distance between the 2.5 % and 97.5 % quantiles;
        ``n`` images. None where counts do not give the metric. Cost O(R · images · columns).
    """
    pairs = sample.paired_with(reference)
    if len(sample.runs) == len(reference.runs) == 1:
        pairs = [(sample.runs[0], reference.runs[0])]
    sums: list[ImageSums] = []
    for run in chain(*pairs):
        own = image_sums(run.record, sample.metric)
        if own is None or (sums and not np.array_equal(own.images, sums[0].images)):
            return None
        sums.append(own)
    if not sums:
        return None
    images = len(sums[0].images)
    tables = np.stack([(own.parts, own.wholes) for own in sums], axis=2)  # (2, images, runs, k)
    counts = tables.swapaxes(0, 1).reshape(images, -1).astype(np.float64)
    random, block = np.random.default_rng(seed), max(1, _BLOCK // images)
    drawn = []
    for start in range(0, resamples, block):
        weights = draw_weights(random, images, resamples=min(block, resamples - start))
        drawn.append(_differences(weights @ counts, sums))
    observed = float(_differences(counts.sum(0)[None], sums)[0])
    low, high = np.nanquantile(np.concatenate(drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(observed, float(high - low) / 2, images)


def draw_weights(random: np.random.Generator, images: int, *, resamples: int) -> np.ndarray:
    """How often each image is drawn when as many are drawn with replacement: (resamples, images)
    float64, each row of sum ``images``.
    """
    drawn = random.integers(images, size=(resamples, images))
    places = drawn + images * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.float64)


def _differences(totals: np.ndarray, sums: list[ImageSums]) -> np.ndarray:
    """Mean over pairs of the difference of two runs' metrics, (R,).

    Args:
        totals: (R, 2 · runs · k), sums over images: numerators of all runs, then denominators.
        sums: of the runs, those of a pair one after the other.
    """
    parts, wholes = totals.reshape(len(totals), 2, len(sums), -1).swapaxes(0, 1)  # (R, runs, k)
    metrics = sums[0].metric(parts, wholes)  # (R, runs)
    return (metrics[:, ::2] - metrics[:, 1::2]).mean(1)


BOOTSTRAP = Statistic(
    name="bootstrap",
    scope="pair",
    compute=bootstrap_difference,
    heading="minus {reference}, over images",
    explanation=(
        "over images: difference of these very networks, ± half of the 95 % interval of "
        f"{RESAMPLES} paired bootstrap draws of the images; the spread over seeds is not in it."
    ),
)
