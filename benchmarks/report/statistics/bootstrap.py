"""The paired bootstrap over images: how far another draw of the images would move a difference.

Images that belong together (frames of one video) are drawn together, where the records say which do
in ``counts["groups"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from benchmarks.core.record import Record
from benchmarks.core.scores import image_counts
from benchmarks.core.statistics import CONFIDENCE, Interval
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.contract import Statistic

RESAMPLES = 2000
_BLOCK = 1 << 23  # weights in memory at once: 64 MB
# Metrics of all pixels together: sums over pixels of an image, and what follows the division by
# their number.
_POOLED = {
    "RMSE": ("squared_error", np.sqrt),
    "pooled_RMSE": ("squared_error", np.sqrt),
    "delta1": ("within", np.asarray),
    "mean_angle": ("degrees", np.asarray),
}
_SHARE = "within_"  # of pixels, behind it the limit: sums over pixels are ``pixels_within_…``


@dataclass(frozen=True)
class ImageSums:
    """A metric as sums over images: ``scale · finish(mean over columns of Σ parts / Σ wholes)``.

    Attributes:
        parts: (images, k) numerators; k classes for mIoU, else 1.
        wholes: (images, k) denominators; columns whose sum is 0 are left out of the mean.
        images: (images,) their numbers in the data.
        groups: (images,) which of them belong together, numbers from 0; None where nobody says.
    """

    parts: np.ndarray
    wholes: np.ndarray
    images: np.ndarray
    groups: np.ndarray | None = None
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
        renamed by the Hungarian method, or the record is of an older version that kept other
        counts).
    """
    sums = _read_sums(record.counts, metric)
    if sums is None:
        return None
    again = sums.metric(sums.parts.sum(0)[None], sums.wholes.sum(0)[None])[0]
    if not np.isclose(again, record.metrics[metric].value, rtol=1e-6):
        return None
    groups = record.counts.get("groups")
    return sums if groups is None else replace(sums, groups=np.array(groups)[sums.images])


def _read_sums(counts: dict, metric: str) -> ImageSums | None:
    table = counts.get("per_image", {})
    if metric in counts:  # 0 or 1 for every image, in order: accuracies
        return _mean_of(counts[metric], np.arange(len(counts[metric])), scale=100.0)
    if metric in table and "image" in table:  # in the metric's unit, see Record
        return _mean_of(table[metric], np.array(table["image"]), scale=1.0)
    if "intersection" in table and metric in ("mIoU", "pixel_accuracy"):
        intersection, union = image_counts(counts)
        images = np.array(list(dict.fromkeys(table["image"])))
        if metric == "mIoU":
            return ImageSums(intersection, union, images)
        right, either = intersection.sum(1), union.sum(1)
        return ImageSums(right[:, None], (either + right)[:, None] / 2, images)
    prefix = "aligned_" if metric.startswith("aligned_") else ""
    own = f"pixels_{metric}" if metric.startswith(_SHARE) else ""
    part, finish = _POOLED.get(metric.removeprefix(prefix), (own, np.asarray))
    if f"{prefix}{part}" in table:
        parts, wholes = np.array(table[f"{prefix}{part}"]), np.array(table["known"])
        scale = 1.0 if part in ("squared_error", "degrees") else 100.0
        images = np.array(table["image"])
        return ImageSums(parts[:, None], wholes[:, None], images, finish=finish, scale=scale)
    return None


def _mean_of(values: list[float | None], images: np.ndarray, *, scale: float) -> ImageSums:
    parts = np.array(values, np.float64)[:, None]
    known = np.isfinite(parts)
    return ImageSums(np.where(known, parts, 0), known.astype(np.float64), images, scale=scale)


def sums_of_runs(runs: Sequence[Run], metric: str) -> list[ImageSums] | None:
    """What all runs keep of the same images; None where one keeps nothing, or of other images."""
    sums: list[ImageSums] = []
    for run in runs:
        own = image_sums(run.record, metric)
        if own is None or (sums and not np.array_equal(own.images, sums[0].images)):
            return None
        sums.append(own)
    return sums or None


def draw(
    sums: Sequence[ImageSums], *, resamples: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The metric of every run on draws of the images with replacement, the same for all runs.

    Draws are weights W (R, units), how often each image or group was drawn, so that the sums of a
    run are one product W · counts (units, columns).

    Args:
        sums: of the runs, about the same images.
        resamples: R, draws of as many units as there are.
        seed: of the draws: ``default_rng(seed).integers(units, size=(R, units))``, units in the
            order of their numbers.

    Returns:
        (R, runs) metrics; (R,) bool, whether a class of the whole is absent from the draw: then it
        is left out of that draw's mean. Cost O(R · units · columns).
    """
    tables = []
    for one in sums:
        tables.append(np.concatenate([one.parts, one.wholes], 1).astype(np.float64))  # (n, 2k)
    groups = unit_numbers(sums)
    if groups is not None:
        together = np.equal.outer(np.unique(groups), groups).astype(np.float64)  # (units, images)
        tables = [together @ table for table in tables]
    units = len(tables[0])
    random, block = np.random.default_rng(seed), max(1, _BLOCK // units)
    metrics, absent = [], []
    for start in range(0, resamples, block):
        weights = draw_weights(random, units, resamples=min(block, resamples - start))
        values, gaps = [], np.zeros(len(weights), bool)
        for one, table in zip(sums, tables, strict=True):
            parts, wholes = np.split(weights @ table, 2, axis=1)  # (r, k) each
            values.append(one.metric(parts, wholes))
            gaps |= ((wholes > 0) < (table.sum(0)[wholes.shape[1] :] > 0)).any(1)
        metrics.append(np.stack(values, 1))
        absent.append(gaps)
    return np.concatenate(metrics), np.concatenate(absent)


def unit_numbers(sums: Sequence[ImageSums]) -> np.ndarray | None:
    """(images,) the groups of the first run whose record names them; None: images stand alone.

    What belongs together is a matter of the images, so that one record says it for all.
    """
    for one in sums:
        if one.groups is not None:
            return one.groups
    return None


def draw_weights(random: np.random.Generator, images: int, *, resamples: int) -> np.ndarray:
    """How often each image is drawn when as many are drawn with replacement: (resamples, images)
    float64, each row of sum ``images``.
    """
    drawn = random.integers(images, size=(resamples, images))
    places = drawn + images * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * images)
    return counts.reshape(resamples, images).astype(np.float64)


def bootstrap_difference(
    sample: Sample, reference: Sample, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Difference to another row, with the interval that drawing other images would give it.

    Per draw, each run's metric is computed anew, and the differences of paired runs are averaged.
    Networks are taken as they are: the spread over seeds is not in it.

    Args:
        sample, reference: rows with runs in common, by ``pair``; a single run of each is a pair.
        resamples, seed: see :func:`draw`.

    Returns:
        The difference on all images, ± half the distance between the 2.5 % and 97.5 % quantiles;
        ``n`` images. None where counts do not give the metric.
    """
    pairs = sample.paired_with(reference)
    if len(sample.runs) == len(reference.runs) == 1:
        pairs = [(sample.runs[0], reference.runs[0])]
    sums = sums_of_runs(list(chain(*pairs)), sample.metric)
    if sums is None:
        return None
    metrics, _ = draw(sums, resamples=resamples, seed=seed)
    drawn = (metrics[:, ::2] - metrics[:, 1::2]).mean(1)
    whole = [own.metric(own.parts.sum(0)[None], own.wholes.sum(0)[None])[0] for own in sums]
    observed = float(np.mean(np.array(whole[::2]) - whole[1::2]))
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(observed, float(high - low) / 2, len(sums[0].images))


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
