"""Student's intervals: of a mean over runs, and of differences between rows, run by run or image by
image.
"""

from __future__ import annotations

import numpy as np

from benchmarks.core.statistics import Interval, interval_of_runs, t_interval
from benchmarks.report.runs import Sample
from benchmarks.report.statistics.bootstrap import image_sums
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
    ``counts["per_image"]``, see :class:`benchmarks.core.record.Record`, and no image is left out.
    """
    if len(sample.runs) != 1 or len(reference.runs) != 1:
        return None
    sums = []
    for record in (sample.runs[0].record, reference.runs[0].record):
        if sample.metric in record.counts.get("per_image", {}):
            sums.append(image_sums(record, sample.metric))
    if len(sums) < 2 or None in sums:
        return None
    own, other = sums
    if not np.array_equal(own.images, other.images) or not (own.wholes * other.wholes).all():
        return None
    return t_interval((own.parts - other.parts)[:, 0])


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
