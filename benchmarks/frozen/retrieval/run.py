"""The benchmark: the validation part labelled from the memory; predictors without a network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.neighbours import backend_of_networks
from benchmarks.core.scores import SEGMENTATION_METRICS, SegmentationTally
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.loading import resize_mask
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.retrieval.label import facts_of, fill_memory
from benchmarks.frozen.retrieval.memory import stored_patches, train_batches
from benchmarks.frozen.retrieval.patches import ClassLabels, PatchLabels
from benchmarks.frozen.retrieval.settings import Settings, per_image_limit, scored_classes
from pretrain.progress import Progress

NAME = "retrieval"
QUICK = dict(size=(128, 128), memory_size=102_400, passes=1, augment=False)


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
    distributed: bool = False,
) -> Result:
    """Runs dense retrieval. Cost: M · queries · D multiply-adds.

    Args:
        extractor: Anything with ``maps``, ``stride``, ``device``, ``mean``, ``std``.
        data: Its train part fills the memory, its val part is scored.
        settings: The protocol.
        progress: Called with (phase, batches done, batches in all).
        distributed: Share the images among the processes of the default group; every process must
            call it and gets the result. False runs the whole benchmark in this process, even inside
            a group.

    Returns:
        mIoU and pixel accuracy in percent; counts for
            :func:`benchmarks.core.scores.image_counts`.

    Raises:
        ValueError: size and stride do not fit, a zero or non-finite feature (named image), too
            small a memory.
        MemoryError: the memory would not fit; names the smallest change that would.
    """
    labeller = fill_memory(
        extractor,
        data.train,
        settings,
        labelling=class_labels(data, settings),
        progress=progress,
        distributed=distributed,
    )
    tally = SegmentationTally(scored_classes(data.classes, settings.compat))
    for scores, batch in labeller.label(data.val, progress):
        tally.add_scores(scores, _scored(batch, settings))
    if distributed:
        tally.gather(torch.device(extractor.device))
    return _result(tally, settings, facts=labeller.facts, cost=labeller.cost)


def _scored(batch: LabelledBatch, settings: Settings) -> LabelledBatch:
    """The batch with masks of the size that is scored, each pixel the label under its centre."""
    if settings.mask_size is None:
        return batch
    masks = np.stack([resize_mask(mask, settings.mask_size) for mask in batch.masks.numpy()])
    return replace(batch, masks=torch.from_numpy(masks))


def class_labels(data: SegmentationFolder, settings: Settings) -> ClassLabels:
    """What the memory stores of masks."""
    ignored_as = None
    if "ignore-is-class-0" in settings.compat:
        ignored_as = 0
    elif "ignored-is-a-class" in settings.compat:
        ignored_as = data.classes
    return ClassLabels(scored_classes(data.classes, settings.compat), ignored_as)


def counted_batches(
    data: SegmentationFolder | DepthFolder,
    settings: Settings,
    *,
    grid: tuple[int, int],
    labelling: PatchLabels,
    progress: Progress | None,
) -> Iterator[tuple[LabelledBatch, int]]:
    """Yields the train batches of the memory, and how many patches of each it would store."""
    limit = per_image_limit(settings.memory_size, len(data.train), settings.passes)
    total = data.train.batch_count(settings.batch_size) * settings.passes
    for done, batch in enumerate(train_batches(data.train, settings), start=1):
        stored = stored_patches(batch, settings, grid=grid, labelling=labelling, limit=limit)
        yield batch, sum(len(chosen) for chosen, _ in stored)
        if progress:
            progress("count", done, total)


def _result(
    tally: SegmentationTally,
    settings: Settings,
    *,
    facts: dict[str, Any],
    cost: dict[str, float] | None = None,
) -> Result:
    matched = "hungarian" in settings.compat
    return tally.result(
        NAME,
        facts=facts | dict(matching="hungarian" if matched else "identity"),
        cost=cost,
        matched=matched,
        absent_as_zero="absent-is-zero" in settings.compat,
    )


def _by_place(
    data: SegmentationFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    progress: Progress | None = None,
) -> Result:
    """Predicts the mean label of the memory's patches, of all or at the same place of the grid."""
    grid = grid_of(settings.size, stride)
    labelling = class_labels(data, settings)
    shares = torch.zeros(grid[0] * grid[1], labelling.width, dtype=torch.float64)
    effective = 0
    for batch, stored in counted_batches(
        data, settings, grid=grid, labelling=labelling, progress=progress
    ):
        # All patches count here: the memory prefers rare classes, so its largest need not be the
        # train part's.
        shares += labelling(batch.masks, grid)[0].sum(0)
        effective += stored
    shares = shares.view(*grid, -1)  # (h, w, C)
    if everywhere:
        shares = shares.sum((0, 1), keepdim=True).expand_as(shares)
    shares = shares / shares.sum(-1, keepdim=True).clamp_min(1)
    tally = SegmentationTally(labelling.width)
    for batch in data.val.batches(settings.size, settings.batch_size):
        scores = shares.permute(2, 0, 1).float().expand(len(batch.ids), -1, -1, -1)
        tally.add_scores(scores, _scored(batch, settings))
    backend = backend_of_networks(settings.backend)
    facts = facts_of(settings, stride=stride, backend=backend, effective=effective)
    return _result(tally, settings, facts=facts)


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Retrieval with mean colour and position of a patch as its feature."""
    settings = replace(settings, backend=backend_of_networks(settings.backend))
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of patches by dense nearest neighbours",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=SEGMENTATION_METRICS,
    quick=QUICK,
    baselines=dict(
        majority=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=_colour_position,
    ),
    baseline_needs=("stride", "backend"),
    distributed=True,
    upsampled_stride=4,
)
