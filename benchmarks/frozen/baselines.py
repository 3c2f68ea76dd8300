"""What trivial predictors are made of: they show what a benchmark gives away for nothing.

Each benchmark names its own in its declaration. A stand-in takes the network's place and passes
through the whole benchmark; the other predictors look at no image: the largest class or the mean
depth of the train part, everywhere or at the same place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Result
from benchmarks.core.record import Metric
from benchmarks.core.scores import SegmentationTally
from benchmarks.core.vectors import accuracy
from benchmarks.data import ClassFolder, SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.pairs import LabelledBatch, PairSplit
from pretrain.progress import Progress

PIXELS = 16  # side of the small image that stands for a vector


class ColourPosition:
    """Feature extractor without a network: mean colour and position of each patch, device CPU.

    Channels: R, G, B in [-0.5, 0.5], x and y in [-0.5, 0.5] times ``position_weight``, and a
    constant 1. On the unit sphere the cosine of two such features is about 1 - |difference|²/2:
    without the constant it would compare directions of colour only, and grey would have none.

    Args:
        stride: Pixels per patch.
        position_weight: Of x and y against colour.
        task_stride: Pixels per output of what reads the features out at another resolution;
            None = ``stride``.
    """

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    channels = 6
    upsampler = None

    def __init__(
        self, stride: int, *, position_weight: float = 1.0, task_stride: int | None = None
    ) -> None:
        self.stride, self.position_weight = stride, position_weight
        self.map_stride, self.task_stride = stride, task_stride or stride
        self.device = torch.device("cpu")

    def maps(self, images: Tensor, *, recurs: bool = True) -> Tensor:
        """Encodes (B, 3, H, W) uint8, or float in [0, 1], to (B, 6, H / stride, W / stride)."""
        colour = F.avg_pool2d(self.normalise(images), self.stride) - 0.5
        h, w = colour.shape[-2:]
        rows, columns = (torch.arange(h) + 0.5) / h - 0.5, (torch.arange(w) + 0.5) / w - 0.5
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        position = self.position_weight * torch.stack([x, y]).expand(len(images), 2, h, w)
        return torch.cat([colour, position, torch.ones(len(images), 1, h, w)], 1)

    def encode(self, images: Tensor, *, recurs: bool = True) -> Tensor:
        """See :meth:`maps`."""
        return self.maps(images)

    def vector(self, images: Tensor) -> Tensor:
        """(B, 6), the mean of :meth:`maps` over places."""
        return self.maps(images).mean((2, 3))

    def normalise(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) float in [0, 1] of images that are uint8 or that already."""
        return images.float() / (255.0 if images.dtype == torch.uint8 else 1.0)

    def describe(self) -> dict[str, Any]:
        """See ``FeatureExtractor.describe``."""
        return dict(
            spec="colour_position", stride=self.stride, position_weight=self.position_weight
        )


class Pixels:
    """Vectors without a network: the image at 16×16 pixels, mid-grey as zero, device CPU."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def vector(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) uint8 to (B, 768) float32 in [-0.5, 0.5]: means over equal areas."""
        small = F.interpolate(images.float(), size=(PIXELS, PIXELS), mode="area")
        return small.flatten(1) / 255 - 0.5

    def describe(self) -> dict[str, Any]:
        """See ``FeatureExtractor.describe``."""
        return dict(spec="pixels", side=PIXELS)


def run_stand_in(
    run: Callable[..., Result],
    network: ColourPosition | Pixels,
    *,
    data: Any,
    settings: Any,
    progress: Progress | None,
) -> Result:
    """Runs a benchmark on what stands in for a network, and describes that in the result."""
    result = run(network, data, settings, progress=progress)
    return replace(result, subject=network.describe() | result.subject)


def largest_classes(data: ClassFolder) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Accuracy and counts of the largest train classes, named for every image: the first for top-1,
    the first five for top-5.
    """
    images = torch.bincount(data.train.labels, minlength=data.classes)
    return accuracy(images.expand(len(data.val), -1), data.val.labels)


class LabelSettings(Protocol):
    """What is read of settings here."""

    size: tuple[int, int]
    batch_size: int


def classes_by_place(
    data: SegmentationFolder,
    settings: LabelSettings,
    *,
    everywhere: bool,
    progress: Progress | None,
) -> SegmentationTally:
    """Scores what :func:`place_classes` predicts, with its arguments, on masks of the same size."""
    prediction = place_classes(data, settings, everywhere=everywhere, progress=progress)
    tally = SegmentationTally(data.classes)
    score_everywhere(tally, prediction, split=data.val, settings=settings, progress=progress)
    return tally


def place_classes(
    data: SegmentationFolder,
    settings: LabelSettings,
    *,
    everywhere: bool,
    progress: Progress | None,
) -> Tensor:
    """The most frequent class of the train part, of all pixels or at the same pixel: (H, W) int64.

    Args:
        data: masks.
        settings: their size.
        everywhere: the class of most pixels for every pixel; it is also that of a pixel where no
            train image is labelled.
        progress: called with (phase, batches done, batches in all).
    """
    height, width = settings.size
    counts = torch.zeros(height * width * data.classes, dtype=torch.int32)
    place = torch.arange(height * width).view(height, width) * data.classes
    for batch in batches_of(data.train, settings, phase="count", progress=progress):
        for mask in batch.masks:
            labelled = mask != IGNORE
            index = place[labelled] + mask[labelled].long()
            counts.index_add_(0, index, torch.ones(len(index), dtype=torch.int32))
    counts = counts.view(height, width, data.classes)
    prediction = counts.sum((0, 1)).argmax().expand(height, width)
    if everywhere:
        return prediction
    return torch.where(counts.any(-1), counts.argmax(-1), prediction)


class DepthByPlace:
    """Mean depths of the train part.

    Args:
        size: (H, W) of the depth maps.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._metres = torch.zeros(size, dtype=torch.float64)  # (H, W), summed over images
        self._known = torch.zeros(size, dtype=torch.int64)  # in how many images

    def add(self, masks: Tensor) -> None:
        """Sees depth maps (B, H, W), metres, 0 = unknown."""
        self._metres += masks.double().sum(0)
        self._known += (masks > 0).sum(0)

    def prediction(self, *, everywhere: bool) -> Tensor:
        """(H, W) metres: the mean of all pixels, or that of each pixel where one is known.

        Raises:
            ValueError: no depth is known at all.
        """
        if not self._known.any():
            raise ValueError(
                "no depth of the train part is known: its maps hold 0 only; check depth="
            )
        mean = (self._metres.sum() / self._known.sum()).expand_as(self._metres)
        if everywhere:
            return mean
        return torch.where(self._known > 0, self._metres / self._known.clamp_min(1), mean)


class Tally(Protocol):
    """Adds up errors image by image."""

    def add(self, prediction: Tensor, target: Tensor, image: int) -> None:
        """Counts the prediction (H, W) of one image."""


def score_everywhere(
    tally: Tally,
    prediction: Tensor,
    *,
    split: PairSplit,
    settings: LabelSettings,
    progress: Progress | None,
) -> None:
    """Counts one prediction (H, W) for every image of a split."""
    for batch in batches_of(split, settings, phase="score", progress=progress):
        for target, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, target, image)


def batches_of(
    split: PairSplit, settings: LabelSettings, *, phase: str, progress: Progress | None
) -> Iterator[LabelledBatch]:
    """Yields the batches of a split once, in order."""
    total = split.batch_count(settings.batch_size)
    for done, batch in enumerate(split.batches(settings.size, settings.batch_size), start=1):
        yield batch
        if progress:
            progress(phase, done, total)
