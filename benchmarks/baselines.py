"""Trivial dense predictors under the retrieval protocol: what a pretrained network has to beat.

``majority`` says the most frequent class of the train part everywhere; ``position`` says, per patch position, what the
train part shows there on average; ``colour_position`` is the whole retrieval with the mean colour and the position of
a patch as its feature. Each gives a record with the protocol hash of a retrieval at the same stride and settings, so it
may stand in the same column.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import retrieval
from benchmarks.data.segmentation import SegmentationFolder
from benchmarks.neighbours import resolve_backend
from benchmarks.record import Record
from benchmarks.retrieval.decode import protocol_of, record_of, score_batch
from benchmarks.retrieval.memory import Progress, stored_patches, train_batches
from benchmarks.retrieval.patches import patch_counts
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
    return _without_images("position", lambda shares: shares, data, settings, stride=stride, progress=progress)


def colour_position(
    data: SegmentationFolder, settings: Settings, stride: int, *, progress: Progress | None = None
) -> Record:
    """Retrieval with :class:`ColourPosition` as the network."""
    settings = replace(settings, backend=_backend(settings))
    return retrieval.run(ColourPosition(stride), data, settings, progress=progress)


BASELINES: dict[str, Callable[..., Record]] = {f.__name__: f for f in (majority, position, colour_position)}


def _without_images(
    name: str, spread: Callable[[Tensor], Tensor], data: SegmentationFolder, settings: Settings, *,
    stride: int, progress: Progress | None,
) -> Record:  # fmt: skip
    """Adds up the memory's labels per grid position and predicts ``spread`` of them for every image."""
    started = time.perf_counter()
    grid = grid_of(settings.size, stride)
    limit = per_image_limit(settings.memory_size, len(data.train), settings.passes)
    shares = torch.zeros(grid[0] * grid[1], data.classes, dtype=torch.float64)
    effective, done = 0, 0
    total = data.train.batch_count(settings.batch_size) * settings.passes
    for batch in train_batches(data.train, settings):
        # All patches count here: the memory prefers rare classes, so its largest need not be the train part's.
        shares += patch_counts(batch.masks, data.classes, grid).sum(0).flatten(0, 1)
        stored = stored_patches(batch, grid, settings, classes=data.classes, limit=limit)
        effective += sum(len(chosen) for chosen, _ in stored)
        done += 1
        if progress:
            progress("count", done, total)
    shares = spread(shares.view(*grid, -1))  # (h, w, C)
    shares = shares / shares.sum(-1, keepdim=True).clamp_min(1)
    tally = SegmentationTally(data.classes)
    for batch in data.val.batches(settings.size, settings.batch_size):
        score_batch(tally, shares.permute(2, 0, 1).float().expand(len(batch.ids), -1, -1, -1), batch)
    protocol = protocol_of(data, settings, stride=stride, backend=_backend(settings), effective=effective)
    cost = dict(seconds=time.perf_counter() - started)
    return record_of("retrieval", tally, protocol, compat=settings.compat, cost=cost, extractor=_Constant(name))


def _backend(settings: Settings) -> str:
    """The back-end a network would get on this machine: the protocols must agree."""
    return resolve_backend(settings.backend, "cuda" if torch.cuda.is_available() else "cpu")
