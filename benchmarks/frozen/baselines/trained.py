"""Trivial predictors under the protocols of probes and decoder, which train on dense labels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.core.record import Record
from benchmarks.core.scores import SegmentationTally
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen import decoder, retrieval
from benchmarks.frozen.baselines.features import ColourPosition, NoImage
from benchmarks.frozen.probe import depth as depth_probe
from benchmarks.frozen.probe import segmentation as probe
from benchmarks.frozen.probe.depth_tally import AlignedDepthTally
from benchmarks.frozen.retrieval.decode import class_labels, label_val, record_of, score_batch
from pretrain.progress import Progress


def probe_colour_position(
    data: SegmentationFolder,
    settings: probe.Settings,
    stride: int,
    *,
    train_stride: int | None = None,
    progress: Progress | None = None,
) -> Record:
    """A linear probe on :class:`ColourPosition`."""
    features = ColourPosition(train_stride or stride, upsampled_stride=stride)
    return probe.run(features, data, settings, progress=progress)


def depth_probe_colour_position(
    data: DepthFolder,
    settings: depth_probe.Settings,
    stride: int,
    *,
    train_stride: int | None = None,
    progress: Progress | None = None,
) -> Record:
    """A linear depth probe on :class:`ColourPosition`."""
    features = ColourPosition(train_stride or stride, upsampled_stride=stride)
    return depth_probe.run(features, data, settings, progress=progress)


def decoder_colour_position(
    data: SegmentationFolder, settings: decoder.Settings, *, progress: Progress | None = None
) -> Record:
    """Nearest neighbours on :class:`ColourPosition` in place of a trained decoder."""
    started = time.perf_counter()
    tally = SegmentationTally(data.classes)
    memory = retrieval.Settings(
        size=settings.size, memory_size=102_400, passes=1, augment=False, backend="torch"
    )
    label_val(
        ColourPosition(settings.stride),
        data,
        memory,
        labelling=class_labels(data, memory),
        score=lambda shares, batch: score_batch(tally, shares, batch),
        progress=progress,
        distributed=False,
    )
    return _decoder_record("colour_position", tally, data, settings, started)


def _probe_by_place(
    name: str,
    data: SegmentationFolder,
    settings: probe.Settings,
    stride: int,
    *,
    train_stride: int | None = None,
    progress: Progress | None = None,
) -> Record:
    """The class with most pixels in the train part (``majority``), or at the same pixel of it
    (``position``).
    """
    started = time.perf_counter()
    tally = _tally_by_place(name, data, settings, progress)
    features = ColourPosition(train_stride or stride, upsampled_stride=stride)
    protocol = probe.protocol_of(features, data, settings)
    cost = dict(seconds=time.perf_counter() - started)
    return record_of("probe", tally, protocol, compat=(), cost=cost, extractor=NoImage(name))


def _decoder_by_place(
    name: str,
    data: SegmentationFolder,
    settings: decoder.Settings,
    *,
    progress: Progress | None = None,
) -> Record:
    """See :func:`_probe_by_place`."""
    started = time.perf_counter()
    tally = _tally_by_place(name, data, settings, progress)
    return _decoder_record(name, tally, data, settings, started)


def _decoder_record(
    name: str,
    tally: SegmentationTally,
    data: SegmentationFolder,
    settings: decoder.Settings,
    started: float,
) -> Record:
    protocol, cost = (
        decoder.protocol_of(data, settings),
        dict(seconds=time.perf_counter() - started),
    )
    return record_of("decoder", tally, protocol, compat=(), cost=cost, extractor=NoImage(name))


def _depth_by_place(
    name: str,
    data: DepthFolder,
    settings: depth_probe.Settings,
    stride: int,
    *,
    train_stride: int | None = None,
    progress: Progress | None = None,
) -> Record:
    """The mean depth of the train part (``mean``), or at the same pixel of it (``position``), of
    all pixels where no depth is known there."""
    started = time.perf_counter()
    sums, known = (
        torch.zeros(settings.size, dtype=torch.float64),
        torch.zeros(settings.size, dtype=torch.int64),
    )
    for batch in _batches(data.train, settings, "count", progress):
        sums += batch.masks.double().sum(0)  # unknown depths are 0
        known += (batch.masks > 0).sum(0)
    prediction = depths_by_place(sums, known, everywhere=name == "mean")
    tally = AlignedDepthTally(metric=settings.loss == "metric")
    for batch in _batches(data.val, settings, "score", progress):
        for target, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, target, image)
    features = ColourPosition(train_stride or stride, upsampled_stride=stride)
    cost = dict(seconds=time.perf_counter() - started)
    return depth_probe.record_of(
        tally, depth_probe.protocol_of(features, data, settings), cost, NoImage(name)
    )


def depths_by_place(sums: Tensor, known: Tensor, *, everywhere: bool) -> Tensor:
    """The mean depth of each pixel, or of all.

    Args:
        sums: (H, W) metres, summed over images.
        known: (H, W) in how many images the depth was known.
        everywhere: The mean of all pixels at every pixel.

    Returns:
        (H, W) metres; where no depth is known the mean of all.

    Raises:
        ValueError: no depth is known at all.
    """
    if not known.any():
        raise ValueError("no depth of the train part is known: its maps hold 0 only; check depth=")
    mean = (sums.sum() / known.sum()).expand_as(sums)
    return mean if everywhere else torch.where(known > 0, sums / known.clamp_min(1), mean)


def _tally_by_place(
    name: str,
    data: SegmentationFolder,
    settings: probe.Settings | decoder.Settings,
    progress: Progress | None,
) -> SegmentationTally:
    """Scores the train part's most frequent class, at the pixel (``position``) or of all."""
    height, width = settings.size
    counts = torch.zeros(height * width * data.classes, dtype=torch.int32)
    place = torch.arange(height * width).view(height, width) * data.classes
    for batch in _batches(data.train, settings, "count", progress):
        for mask in batch.masks:
            labelled = mask != IGNORE
            index = place[labelled] + mask[labelled].long()
            counts.index_add_(0, index, torch.ones(len(index), dtype=torch.int32))
    counts = counts.view(height, width, data.classes)
    largest = counts.sum((0, 1)).argmax()
    prediction = largest.expand(height, width)
    if name == "position":
        prediction = torch.where(counts.any(-1), counts.argmax(-1), prediction)
    tally = SegmentationTally(data.classes)
    for batch in _batches(data.val, settings, "score", progress):
        for mask, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, mask, image)
    return tally


def _batches(
    split: PairSplit,
    settings: probe.Settings | decoder.Settings,
    phase: str,
    progress: Progress | None,
) -> Iterator[LabelledBatch]:
    total = split.batch_count(settings.batch_size)
    for done, batch in enumerate(split.batches(settings.size, settings.batch_size), start=1):
        yield batch
        if progress:
            progress(phase, done, total)


PROBE: dict[str, Callable[..., Record]] = {
    "majority": partial(_probe_by_place, "majority"),
    "position": partial(_probe_by_place, "position"),
    "colour_position": probe_colour_position,
}
DEPTH_PROBE: dict[str, Callable[..., Record]] = {
    "mean": partial(_depth_by_place, "mean"),
    "position": partial(_depth_by_place, "position"),
    "colour_position": depth_probe_colour_position,
}
DECODER: dict[str, Callable[..., Record]] = {
    "majority": partial(_decoder_by_place, "majority"),
    "position": partial(_decoder_by_place, "position"),
    "colour_position": decoder_colour_position,
}
