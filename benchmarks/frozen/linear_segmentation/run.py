"""The benchmark: train a linear head, score the validation part, once or several times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.core.scores import SEGMENTATION_METRICS, SegmentationTally, mean_iou
from benchmarks.data import SegmentationFolder
from benchmarks.data.loading import resize_mask
from benchmarks.frozen.baselines import ColourPosition, place_classes, run_stand_in
from benchmarks.frozen.linear_segmentation.encoding import Encoder
from benchmarks.frozen.linear_segmentation.head import LinearHead
from benchmarks.frozen.linear_segmentation.scoring import read_views, score
from benchmarks.frozen.linear_segmentation.settings import Settings
from benchmarks.frozen.linear_segmentation.training import train
from pretrain.progress import Progress
from pretrain.random_state import undisturbed_random

NAME = "linear_segmentation"
#: What is measured beside, where the number reported is the best of several.
LAST = "last_mIoU"
_CURVE = 100  # points of the loss curve that a record keeps


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
    distributed: bool = False,
) -> Result:
    """Trains and scores a linear head.

    Args:
        extractor: its features, behind its upsampler if it has one.
        data: its train part trains the head, its val part is scored.
        settings: the protocol.
        progress: called with (phase, done, in all).
        distributed: share every batch and the scored images among the processes of the default
            group; every process must call it and gets the result.

    Returns:
        mIoU and pixel accuracy in percent, with several evaluations those of the best and beside
            them ``last_mIoU``; counts as other segmentation benchmarks', the mIoU of each
            evaluation, and the training loss in up to 100 means.

    Raises:
        ValueError: settings that do not fit the data or the network, a loss or score that is not
            finite.
    """
    outputs = data.classes + settings.spare_outputs
    with undisturbed_random():
        head = LinearHead(extractor.channels, outputs, settings=settings, distributed=distributed)
    head = head.to(extractor.device).eval()
    encoder = Encoder(extractor, plain=head.plain, settings=settings)
    chosen = Evaluations(settings, settings.course(len(data.train)).iterations)
    shared = dict(settings=settings, distributed=distributed, progress=progress)

    def after(iteration: int) -> None:
        if iteration in chosen.due:
            chosen.add(iteration, score(head, encoder, data.val, classes=outputs, **shared))

    losses = train(head, encoder, data.train, after=after, **shared)
    result = chosen.result(_facts(extractor.task_stride, data, settings))
    parts = np.array_split(losses.double().cpu().numpy(), min(_CURVE, len(losses)))
    counts = result.counts | dict(loss=[float(part.mean()) for part in parts])
    return replace(result, counts=counts)


class Evaluations:
    """Scores of the validation part during training, evenly spread; the last one at its end.

    Args:
        settings: how many there are, and how classes count.
        iterations: of the training.

    Attributes:
        due: after how many iterations there is one.
    """

    def __init__(self, settings: Settings, iterations: int) -> None:
        self.settings = settings
        count = settings.evaluations
        self.due = [iterations * number // count for number in range(1, count + 1)]
        self._done: list[tuple[int, float]] = []  # iterations, mIoU in percent
        self._best: SegmentationTally | None = None

    def add(self, iteration: int, tally: SegmentationTally) -> None:
        """Takes the counts of one evaluation; the first among equals stays the best."""
        value = mean_iou(tally.confusion, absent_as_zero=self.settings.absent_as_zero)
        if self._best is None or 100 * value > max(iou for _, iou in self._done):
            self._best = tally
        self._done.append((iteration, 100 * value))

    def result(self, facts: Mapping[str, Any]) -> Result:
        """That of the best evaluation."""
        absent_as_zero = self.settings.absent_as_zero
        result = self._best.result(NAME, facts=facts, absent_as_zero=absent_as_zero)
        if self.settings.evaluations == 1:
            return result
        metrics = result.metrics | {LAST: Metric(self._done[-1][1], "%", "higher")}
        done = dict(iteration=[i for i, _ in self._done], mIoU=[iou for _, iou in self._done])
        return replace(result, metrics=metrics, counts=result.counts | dict(evaluations=done))


def _facts(stride: int, data: SegmentationFolder, settings: Settings) -> dict[str, Any]:
    course, count = settings.course(len(data.train)), settings.evaluations
    chosen = "last iteration" if count == 1 else f"best of {count} evaluations of the val part"
    return dict(
        stride=stride,
        iterations=course.iterations,
        outputs=data.classes + settings.spare_outputs,
        loss="cross-entropy over labelled pixels",
        selection=chosen,
    )


def _expected(data: SegmentationFolder, settings: Settings) -> tuple[str, ...]:
    return SEGMENTATION_METRICS if settings.evaluations == 1 else (*SEGMENTATION_METRICS, LAST)


def _by_place(
    data: SegmentationFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    progress: Progress | None = None,
) -> Result:
    """The most frequent class of the train part, of all pixels or at the same place of the image:
    there is nothing to choose, so that every evaluation is the same.
    """
    prediction = place_classes(data, settings, everywhere=everywhere, progress=progress).numpy()
    tally = SegmentationTally(data.classes + settings.spare_outputs)
    for index, _, (_, labels) in read_views(data.val, range(len(data.val)), settings):
        at_labels = torch.from_numpy(resize_mask(prediction, labels.shape))
        tally.add(at_labels, torch.from_numpy(labels), index)
        if progress:
            progress("score", index + 1, len(data.val))
    evaluations = Evaluations(settings, settings.course(len(data.train)).iterations)
    for iteration in evaluations.due:
        evaluations.add(iteration, tally)
    return evaluations.result(_facts(stride, data, settings))


def _colour_position(
    data: SegmentationFolder,
    settings: Settings,
    *,
    stride: int,
    progress: Progress | None = None,
) -> Result:
    """A linear head on mean colours and positions."""
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of pixels by a linear head, crops in training and windows at test",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=(*SEGMENTATION_METRICS, LAST),
    expected=_expected,
    quick=dict(
        size=(128, 128), short_side=128, window_stride=85, length=300, images_per_step=8, warmup=30
    ),
    baselines=dict(
        majority=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=_colour_position,
    ),
    baseline_needs=("stride",),
    distributed=True,
    upsampled_stride=1,
    own_grid=False,
)
