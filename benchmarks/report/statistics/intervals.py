"""Student's intervals: of a mean over runs, and of differences between rows, run by run or image by
image.
"""

from __future__ import annotations

import numpy as np

from benchmarks.core.statistics import Interval, interval_of_runs, t_interval
from benchmarks.report.runs import Sample
from benchmarks.report.statistics.contract import Statistic


def mean_over_runs(sample: Sample) -> Interval:
    """Mean of a row's runs with its 95 % t-interval; without a mean where a run has no value."""
    return interval_of_runs(sample.values)


def difference_over_runs(sample: Sample, reference: Sample) -> Interval | None:
    """Mean difference to another row over runs of equal ``pair``, with its 95 % t-interval.

    What the runs of one pair share (a seed's data order, a network's features) cancels.
    """
    name = sample.metric
    differences = []
    for own, other in sample.paired_with(reference):
        differences.append(own.record.metrics[name].value - other.record.metrics[name].value)
    return interval_of_runs(differences) if differences else None


def difference_over_images(sample: Sample, reference: Sample) -> Interval | None:
    """Mean difference of one run to one other over their images, with its 95 % t-interval.

    None unless both rows are a single run that keeps the metric of every image in
    ``counts["per_image"]``.
    """
    if len(sample.runs) != 1 or len(reference.runs) != 1:
        return None
    own, other = (part.runs[0].record.counts.get("per_image", {}) for part in (sample, reference))
    name = sample.metric
    if name not in own or name not in other or own["image"] != other["image"]:
        return None
    return t_interval(np.subtract(own[name], other[name]))


INTERVAL = Statistic(
    name="interval",
    scope="arm",
    compute=mean_over_runs,
)
DIFFERENCE = Statistic(
    name="difference",
    scope="pair",
    compute=difference_over_runs,
    heading="minus {reference}",
    explanation="minus: paired difference, ± half-width of its 95 % t-interval over runs.",
)
IMAGE_DIFFERENCE = Statistic(
    name="image_difference",
    scope="pair",
    compute=difference_over_images,
    heading="minus {reference}, by image",
    explanation="by image: paired difference, ± half-width of its 95 % t-interval over images.",
)
