"""The bootstrap over images against loops, closed forms and its own claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.core.record import Metric, Record
from benchmarks.core.scores import SegmentationTally, mean_iou, pixel_accuracy
from benchmarks.data.label_maps import IGNORE
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.bootstrap import bootstrap_difference, image_sums

CLASSES = 4


def segmentation(seed: int, *, errors: float, images: int = 12) -> Record:
    """A record of random maps: truth depends on the image alone, predictions on the seed."""
    truth = torch.Generator().manual_seed(99)
    noise = torch.Generator().manual_seed(seed)
    tally = SegmentationTally(CLASSES)
    for image in range(images):
        target = torch.randint(CLASSES - (image % 3 == 0), (6, 5), generator=truth)
        target[0, : image % 4] = IGNORE
        wrong = torch.rand(target.shape, generator=noise) < errors
        guess = torch.randint(CLASSES, target.shape, generator=noise)
        tally.add(torch.where(wrong | (target == IGNORE), guess, target), target, image)
    metrics = {
        "mIoU": Metric(100 * mean_iou(tally.confusion), "%"),
        "pixel_accuracy": Metric(100 * pixel_accuracy(tally.confusion), "%"),
    }
    counts = dict(confusion=tally.confusion.tolist(), per_image=tally.per_image())
    return Record("probe", metrics, dict(size=6), counts)


def sample(metric: str, *records: Record) -> Sample:
    runs = [Run(record, pair=number) for number, record in enumerate(records)]
    return Sample("row", metric, tuple(runs))


def by_loops(
    metric: str, records: list[list[Record]], *, resamples: int, seed: int
) -> tuple[float, float]:
    """Quantiles of the mean difference, image by image and class by class."""
    images = len(dict.fromkeys(records[0][0].counts["per_image"]["image"]))
    random, differences = np.random.default_rng(seed), []
    for _ in range(resamples):
        weights = np.bincount(random.integers(images, size=images), minlength=images)
        means = []
        for row in records:
            values = []
            for record in row:
                table = record.counts["per_image"]
                sums = np.zeros((3, CLASSES))
                names = ("intersection", "predicted", "true")
                columns = [table[name] for name in ("image", "class", *names)]
                for image, label, *counts in zip(*columns, strict=True):
                    sums[:, label] += weights[image] * np.array(counts)
                inside, predicted, true = sums
                union = predicted + true - inside
                if metric == "mIoU":
                    present = union > 0
                    values.append(100 * (inside[present] / union[present]).mean())
                else:
                    values.append(100 * inside.sum() / true.sum())
            means.append(np.mean(values))
        differences.append(means[0] - means[1])
    return tuple(np.quantile(differences, [0.025, 0.975]))


@pytest.mark.parametrize("metric", ["mIoU", "pixel_accuracy"])
def test_against_loops(metric: str) -> None:
    rows = [[segmentation(s, errors=e) for s in (0, 1)] for e in (0.3, 0.6)]
    interval = bootstrap_difference(*(sample(metric, *row) for row in rows), resamples=50, seed=3)
    low, high = by_loops(metric, rows, resamples=50, seed=3)
    assert interval.half == pytest.approx((high - low) / 2, rel=1e-9)
    means = [np.mean([record.metrics[metric].value for record in row]) for row in rows]
    assert interval.mean == pytest.approx(means[0] - means[1], rel=1e-9) and interval.n == 12


def test_draws_do_not_depend_on_how_many_are_in_memory_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [sample("mIoU", segmentation(0, errors=e)) for e in (0.3, 0.6)]
    whole = bootstrap_difference(*rows, resamples=40)
    monkeypatch.setattr("benchmarks.report.statistics.bootstrap._BLOCK", 7 * 12)
    assert bootstrap_difference(*rows, resamples=40).half == pytest.approx(whole.half, rel=1e-12)


def accuracy(right: np.ndarray) -> Record:
    counts = dict(label=[0] * len(right), top1=right.astype(int).tolist())
    return Record("knn", {"top1": Metric(100 * float(right.mean()), "%")}, {}, counts)


def test_a_difference_of_accuracies_has_a_closed_form() -> None:
    """Per image d ∈ {−1, 0, 1}: the bootstrap's deviation is √(mean d² − (mean d)²) / √n."""
    random = np.random.default_rng(0)
    right = [random.random(800) < share for share in (0.7, 0.6)]
    rows = [sample("top1", accuracy(one)) for one in right]
    interval = bootstrap_difference(*rows, resamples=4000)
    difference = right[0].astype(float) - right[1]
    assert interval.mean == pytest.approx(100 * difference.mean())
    expected = 1.96 * 100 * difference.std() / math.sqrt(800)
    assert interval.half == pytest.approx(expected, rel=0.05)


def test_equal_rows_differ_by_nothing() -> None:
    rows = [sample("mIoU", segmentation(0, errors=0.4)) for _ in range(2)]
    interval = bootstrap_difference(*rows)
    assert interval.mean == 0.0 and interval.half == 0.0


def test_depth_is_a_root_of_a_ratio_of_sums() -> None:
    table = dict(image=[0, 1, 2], squared_error=[4.0, 9.0, 5.0], within=[1, 2, 3], known=[2, 3, 4])
    metrics = {"RMSE": Metric(math.sqrt(2.0), "m", "lower"), "delta1": Metric(600 / 9, "%")}
    record = Record("depth", metrics, {}, dict(per_image=table))
    for name, metric in metrics.items():
        sums = image_sums(record, name)
        parts, wholes = sums.parts.sum(0)[None], sums.wholes.sum(0)[None]
        assert sums.metric(parts, wholes)[0] == pytest.approx(metric.value)


def test_what_the_counts_do_not_give_has_no_value() -> None:
    record = segmentation(0, errors=0.4)
    other = Record("probe", {"mIoU": Metric(1.0, "%")}, {}, record.counts)
    assert image_sums(other, "mIoU") is None  # the classes were renamed after counting
    bare = Record("probe", record.metrics, record.protocol)
    rows = [sample("mIoU", record), sample("mIoU", bare)]
    assert bootstrap_difference(*rows) is None
    fewer = sample("mIoU", segmentation(0, errors=0.4, images=7))
    assert bootstrap_difference(rows[0], fewer) is None
    apart = Sample("row", "mIoU", (Run(record, pair=5), Run(record, pair=6)))
    assert bootstrap_difference(rows[0], apart) is None
