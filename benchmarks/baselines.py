"""Trivial dense predictors under the retrieval protocol: what a pretrained network has to beat.

``majority`` says the most frequent class of the train part everywhere; ``position`` says, per patch position, what the
train part shows there on average; ``colour_position`` is the whole retrieval with the mean colour and the position of
a patch as its feature. Each gives a record with the protocol hash of a retrieval at the same stride and settings, so it
may stand in the same column. For depth, ``mean`` says the mean depth of the train part everywhere and ``position`` that
of each pixel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import depth, retrieval
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.pairs import LabelledBatch
from benchmarks.neighbours import resolve_backend
from benchmarks.record import Record
from benchmarks.retrieval.decode import class_labels, protocol_of, record_of, score_batch
from benchmarks.retrieval.memory import Progress, stored_patches, train_batches
from benchmarks.retrieval.patches import PatchLabels, patch_counts
from benchmarks.retrieval.settings import Settings, grid_of, per_image_limit
from benchmarks.scores import SegmentationTally


class ColourPosition:
    """Feature extractor without a network: mean colour and position of each patch, device CPU.

    Channels: R, G, B in [-0.5, 0.5], x and y in [-0.5, 0.5] times ``position_weight``, and a constant 1. On the unit
    sphere the cosine of two such features is about 1 - |difference|²/2: without the constant it would compare
    directions of colour only, and grey would have none.

    Args:
        stride: Pixels per patch.
        position_weight: Of x and y against colour.
    """

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self, stride: int, position_weight: float = 1.0) -> None:
        self.stride, self.position_weight = stride, position_weight
        self.device = torch.device("cpu")

    def maps(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) uint8, or float in [0, 1], to (B, 6, H / stride, W / stride)."""
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        colour = F.avg_pool2d(images.float() / scale, self.stride) - 0.5
        h, w = colour.shape[-2:]
        y, x = torch.meshgrid((torch.arange(h) + 0.5) / h - 0.5, (torch.arange(w) + 0.5) / w - 0.5, indexing="ij")
        position = self.position_weight * torch.stack([x, y]).expand(len(images), 2, h, w)
        return torch.cat([colour, position, torch.ones(len(images), 1, h, w)], 1)

    def describe(self) -> dict[str, Any]:
        """See ``FeatureExtractor.describe``."""
        return dict(spec="colour_position", stride=self.stride, position_weight=self.position_weight)


class _Constant:
    """Stands for a predictor that looks at no image."""

    device = torch.device("cpu")

    def __init__(self, name: str) -> None:
        self.name = name

    def describe(self) -> dict[str, Any]:
        return dict(spec=self.name)


def majority(data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None) -> Record:
    """The class with most pixels in the train part, everywhere."""

    def spread(shares: Tensor) -> Tensor:
        return shares.sum((0, 1), keepdim=True).expand_as(shares)

    return _without_images("majority", spread, data, settings, stride=stride, progress=progress)


def position(data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None) -> Record:
    """The mean label of the train patches at the same place of the grid."""
    return _without_images("position", lambda shares: shares, data, settings, stride=stride, progress=progress)


def colour_position(
    data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """Retrieval with :class:`ColourPosition` as the network."""
    settings = replace(settings, backend=_backend(settings))
    return retrieval.run(ColourPosition(stride), data, settings, progress=progress)


def depth_mean(data: DepthFolder, settings: depth.Settings, stride: int, *, progress: Progress | None = None) -> Record:
    """The mean depth of the train part, everywhere."""
    return _depth_without_images("mean", data, settings, stride=stride, progress=progress)


def depth_position(
    data: DepthFolder, settings: depth.Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """The mean depth of the train part at the same pixel; the mean of all where none is known there."""
    return _depth_without_images("position", data, settings, stride=stride, progress=progress)


def depth_colour_position(
    data: DepthFolder, settings: depth.Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """Depth retrieval with :class:`ColourPosition` as the network."""
    return depth.run(ColourPosition(stride), data, replace(settings, backend=_backend(settings)), progress=progress)


BASELINES: dict[str, Callable[..., Record]] = {f.__name__: f for f in (majority, position, colour_position)}
DEPTH_BASELINES: dict[str, Callable[..., Record]] = {
    "mean": depth_mean, "position": depth_position, "colour_position": depth_colour_position,
}  # fmt: skip


def _without_images(
    name: str, spread: Callable[[Tensor], Tensor], data: SegmentationFolder, settings: Settings, *,
    stride: int, progress: Progress | None,
) -> Record:  # fmt: skip
    """Adds up the memory's labels per grid position and predicts ``spread`` of them for every image."""
    started = time.perf_counter()
    grid = grid_of(settings.size, stride)
    shares = torch.zeros(grid[0] * grid[1], data.classes, dtype=torch.float64)
    effective = 0
    for batch, stored in _counted_batches(data, settings, grid, labelling=class_labels(data, settings), told=progress):
        # All patches count here: the memory prefers rare classes, so its largest need not be the train part's.
        shares += patch_counts(batch.masks, data.classes, grid).sum(0).flatten(0, 1)
        effective += stored
    shares = spread(shares.view(*grid, -1))  # (h, w, C)
    shares = shares / shares.sum(-1, keepdim=True).clamp_min(1)
    tally = SegmentationTally(data.classes)
    for batch in data.val.batches(settings.size, settings.batch_size):
        score_batch(tally, shares.permute(2, 0, 1).float().expand(len(batch.ids), -1, -1, -1), batch)
    protocol = protocol_of(data, settings, stride=stride, backend=_backend(settings), effective=effective)
    cost = dict(seconds=time.perf_counter() - started)
    return record_of("retrieval", tally, protocol, compat=settings.compat, cost=cost, extractor=_Constant(name))


def _depth_without_images(
    name: str, data: DepthFolder, settings: depth.Settings, *, stride: int, progress: Progress | None
) -> Record:
    """Adds up the train part's known depths per pixel and predicts their mean, or that of all pixels (``mean``)."""
    started = time.perf_counter()
    grid = grid_of(settings.size, stride)
    sums = torch.zeros(settings.size, dtype=torch.float64)  # (H, W) metres
    known = torch.zeros(settings.size, dtype=torch.int64)
    effective = 0
    for batch, stored in _counted_batches(data, settings, grid, labelling=depth.DepthLabels(stride), told=progress):
        sums += batch.masks.double().sum(0)  # unknown depths are 0
        known += (batch.masks > 0).sum(0)
        effective += stored
    mean = (sums.sum() / known.sum()).expand_as(sums)
    prediction = mean if name == "mean" else torch.where(known > 0, sums / known.clamp_min(1), mean)
    tally = depth.DepthTally()
    for batch in data.val.batches(settings.size, settings.batch_size):
        for target, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, target, image)
    protocol = protocol_of(data, settings, stride=stride, backend=_backend(settings), effective=effective)
    cost = dict(seconds=time.perf_counter() - started)
    return depth.record_of(tally, protocol, cost=cost, extractor=_Constant(name))


def _counted_batches(
    data: SegmentationFolder | DepthFolder, settings: Settings, grid: tuple[int, int], *,
    labelling: PatchLabels, told: Progress | None,
) -> Iterator[tuple[LabelledBatch, int]]:  # fmt: skip
    """Yields the train batches and how many patches of each a memory would store; tells ``told`` the progress."""
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
