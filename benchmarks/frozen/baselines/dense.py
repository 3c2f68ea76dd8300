"""Trivial dense predictors under the protocols of retrieval, of classes and of depth.

``majority`` says the most frequent class of the train part everywhere; ``position`` says, per patch
position, what the train part shows there on average; ``colour_position`` is the whole retrieval
with the mean colour and the position of a patch as its feature. Each gives a record with the
protocol hash of a retrieval at the same stride and settings, so it may stand in the same column.
For depth, ``mean`` says the mean depth of the train part everywhere and ``position`` that of each
pixel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.core.neighbours import resolve_backend
from benchmarks.core.record import Record
from benchmarks.core.scores import SegmentationTally
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen import depth, retrieval
from benchmarks.frozen.baselines.features import ColourPosition, NoImage
from benchmarks.frozen.baselines.trained import depths_by_place
from benchmarks.frozen.retrieval.decode import class_labels, protocol_of, record_of, score_batch
from benchmarks.frozen.retrieval.memory import stored_patches, train_batches
from benchmarks.frozen.retrieval.patches import PatchLabels
from benchmarks.frozen.retrieval.settings import Settings, grid_of, per_image_limit
from pretrain.progress import Progress


def majority(
    data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """The class with most pixels in the train part, everywhere."""

    def spread(shares: Tensor) -> Tensor:
        return shares.sum((0, 1), keepdim=True).expand_as(shares)

    return _without_images("majority", spread, data, settings, stride=stride, progress=progress)


def position(
    data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """The mean label of the train patches at the same place of the grid."""
    return _without_images(
        "position", lambda shares: shares, data, settings, stride=stride, progress=progress
    )


def colour_position(
    data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """Retrieval with :class:`ColourPosition` as the network."""
    settings = replace(settings, backend=_backend(settings))
    return retrieval.run(ColourPosition(stride), data, settings, progress=progress)


def depth_mean(
    data: DepthFolder, settings: depth.Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """The mean depth of the train part, everywhere."""
    return _depth_without_images("mean", data, settings, stride=stride, progress=progress)


def depth_position(
    data: DepthFolder, settings: depth.Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """The mean depth of the train part at the same pixel; the mean of all where none is known
    there.
    """
    return _depth_without_images("position", data, settings, stride=stride, progress=progress)


def depth_colour_position(
    data: DepthFolder, settings: depth.Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """Depth retrieval with :class:`ColourPosition` as the network."""
    return depth.run(
        ColourPosition(stride),
        data,
        replace(settings, backend=_backend(settings)),
        progress=progress,
    )


RETRIEVAL: dict[str, Callable[..., Record]] = {
    f.__name__: f for f in (majority, position, colour_position)
}
DEPTH: dict[str, Callable[..., Record]] = {
    "mean": depth_mean,
    "position": depth_position,
    "colour_position": depth_colour_position,
}


def _without_images(
    name: str,
    spread: Callable[[Tensor], Tensor],
    data: SegmentationFolder,
    settings: Settings,
    *,
    stride: int,
    progress: Progress | None,
) -> Record:
    """Adds up the memory's labels per grid position and predicts ``spread`` of them for every
    image.
    """
    started = time.perf_counter()
    grid = grid_of(settings.size, stride)
    labelling = class_labels(data, settings)
    shares = torch.zeros(grid[0] * grid[1], labelling.width, dtype=torch.float64)
    effective = 0
    for batch, stored in _counted_batches(data, settings, grid, labelling=labelling, told=progress):
        # All patches count here: the memory prefers rare classes, so its largest need not be the
        # train part's.
        shares += labelling(batch.masks, grid)[0].sum(0)
        effective += stored
    shares = spread(shares.view(*grid, -1))  # (h, w, C)
    shares = shares / shares.sum(-1, keepdim=True).clamp_min(1)
    tally = SegmentationTally(labelling.width)
    for batch in data.val.batches(settings.size, settings.batch_size):
        score_batch(
            tally, shares.permute(2, 0, 1).float().expand(len(batch.ids), -1, -1, -1), batch
        )
    protocol = protocol_of(
        data, settings, stride=stride, backend=_backend(settings), effective=effective
    )
    cost = dict(seconds=time.perf_counter() - started)
    return record_of(
        "retrieval", tally, protocol, compat=settings.compat, cost=cost, extractor=NoImage(name)
    )


def _depth_without_images(
    name: str,
    data: DepthFolder,
    settings: depth.Settings,
    *,
    stride: int,
    progress: Progress | None,
) -> Record:
    """Adds up the train part's known depths per pixel and predicts their mean, or that of all
    pixels (``mean``).
    """
    started = time.perf_counter()
    grid = grid_of(settings.size, stride)
    sums = torch.zeros(settings.size, dtype=torch.float64)  # (H, W) metres
    known = torch.zeros(settings.size, dtype=torch.int64)
    effective = 0
    for batch, stored in _counted_batches(
        data, settings, grid, labelling=depth.DepthLabels(stride), told=progress
    ):
        sums += batch.masks.double().sum(0)  # unknown depths are 0
        known += (batch.masks > 0).sum(0)
        effective += stored
    prediction = depths_by_place(sums, known, everywhere=name == "mean")
    tally = depth.DepthTally()
    for batch in data.val.batches(settings.size, settings.batch_size):
        for target, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, target, image)
    protocol = protocol_of(
        data, settings, stride=stride, backend=_backend(settings), effective=effective
    )
    cost = dict(seconds=time.perf_counter() - started)
    return depth.record_of(tally, protocol, cost=cost, extractor=NoImage(name))


def _counted_batches(
    data: SegmentationFolder | DepthFolder,
    settings: Settings,
    grid: tuple[int, int],
    *,
    labelling: PatchLabels,
    told: Progress | None,
) -> Iterator[tuple[LabelledBatch, int]]:
    """Yields the train batches and how many patches of each a memory would store; tells ``told``
    the progress.
    """
    limit = per_image_limit(settings.memory_size, len(data.train), settings.passes)
    total = data.train.batch_count(settings.batch_size) * settings.passes
    for done, batch in enumerate(train_batches(data.train, settings), start=1):
        stored = stored_patches(batch, grid, settings, labelling=labelling, limit=limit)
        yield batch, sum(len(chosen) for chosen, _ in stored)
        if told:
            told("count", done, total)


def _backend(settings: Settings) -> str:
    """The back-end a network would get on this machine: the protocols must agree."""
    return resolve_backend(settings.backend, "cuda" if torch.cuda.is_available() else "cpu")
