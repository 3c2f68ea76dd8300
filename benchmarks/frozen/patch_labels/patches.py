"""Features and labels of all patches of a part, and the most frequent of several labels.

Labels are counted from 1 here, and 0 is what counts nowhere: so the smallest of equally frequent
labels is that one, as in the published code, whose raw label 0 it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of, require_grid
from benchmarks.core.memory import available_bytes, gigabytes
from benchmarks.core.vectors import require_finite
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.patch_labels.settings import PatchSettings
from pretrain.progress import Progress

_HEADROOM = 0.9  # share of the free memory that may be planned
_COPIES = 2  # of the features: as they are, and as a classifier wants them


@dataclass(frozen=True)
class Patches:
    """Patches of several images.

    Attributes:
        features: (M, D) of ``dtype``.
        labels: (M, p²) int16, row by row; 0 for pixels that count nowhere, else class + 1.
        most: (M,) int16, the most frequent of a patch's labels.
        images: (M,) int64, the numbers of their images.
    """

    features: Tensor
    labels: Tensor
    most: Tensor
    images: Tensor

    def of(self, chosen: Tensor) -> Patches:
        """Those of a mask (M,) bool."""
        parts = {name: getattr(self, name)[chosen] for name in ("features", "labels", "most")}
        return replace(self, **parts, images=self.images[chosen])

    @property
    def labelled(self) -> Patches:
        """Those whose most frequent label is a class: what classifiers are made of."""
        return self.of(self.most > 0)


@dataclass(frozen=True)
class Standardiser:
    """x → (x - mean) / std, channel by channel.

    Attributes:
        mean, std: (D,) float32; a constant channel has std 1.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, features: Tensor, *, standardise: bool) -> Standardiser:
        """Fits it to (M, D), with double sums; changes nothing unless asked to."""
        width, device = features.shape[1], features.device
        if not standardise:
            return cls(torch.zeros(width, device=device), torch.ones(width, device=device))
        total = torch.zeros(2, width, dtype=torch.float64, device=device)
        parts = features.split(1 << 16)
        for part in parts:
            total[0] += part.double().sum(0)
        mean = total[0] / len(features)
        for part in parts:
            total[1] += (part.double() - mean).square().sum(0)
        std = (total[1] / len(features)).sqrt()
        alive = std > 1e-6 * std.max()
        return cls(mean.float(), torch.where(alive, std, 1.0).float())

    def __call__(self, features: Tensor) -> Tensor:
        """(M, D) float32."""
        return (features.float() - self.mean) / self.std


def most_frequent(labels: Tensor, width: int) -> Tensor:
    """The most frequent label along the first but one axis, the smallest of equals.

    Args:
        labels: (Q, k, P) integers in [0, width).
        width: how many labels there are.

    Returns:
        (Q, P) int16.
    """
    counts = torch.zeros(len(labels), width, labels.shape[2], dtype=torch.int32).to(labels.device)
    counts.scatter_add_(1, labels.long(), torch.ones_like(labels, dtype=torch.int32))
    # argmax names no order among equals: a count is worth more than any difference of labels
    smaller = torch.arange(width, 0, -1, dtype=torch.int32, device=labels.device)
    return (counts * (width + 1) + smaller[:, None]).argmax(1).to(torch.int16)


def batches_of(
    split: PairSplit, settings: PatchSettings, *, phase: str, progress: Progress | None
) -> Iterator[LabelledBatch]:
    """Yields the batches of a part as the benchmark sees them."""
    total = split.batch_count(settings.batch_size)
    batches = split.batches(settings.size, settings.batch_size, resample=settings.filter)
    for done, batch in enumerate(batches, start=1):
        yield batch
        if progress:
            progress(phase, done, total)


def encode(
    extractor: FeatureExtractor, batch: LabelledBatch, *, split: PairSplit, size: tuple[int, int]
) -> Tensor:
    """Features (B, N, D) float32 of a batch.

    Raises:
        ValueError: a size that the stride does not divide, another grid, a feature that is not
            finite (named image).
    """
    maps = extractor.maps(batch.images)
    require_grid(maps.shape[2:], grid_of(size, extractor.stride), extractor.stride)
    require_finite(maps.flatten(1), batch.ids, split=split, what="features are")
    return maps.flatten(2).transpose(1, 2)


def train_patches(
    extractor: FeatureExtractor,
    split: PairSplit,
    settings: PatchSettings,
    *,
    classes: int,
    progress: Progress | None,
) -> Patches:
    """All patches of the train part, on the network's device.

    Raises:
        ValueError: as :func:`encode`; no patch has a class.
        MemoryError: they would not fit; names how many images would.
    """
    stride, dtype = extractor.stride, getattr(torch, settings.dtype)
    _require_memory(extractor, len(split), settings)
    features, labels, most, images = [], [], [], []
    for batch in batches_of(split, settings, phase="encode", progress=progress):
        encoded = encode(extractor, batch, split=split, size=settings.size)
        own = patch_labels(batch.masks, stride).flatten(0, 1).to(extractor.device)
        features.append(encoded.flatten(0, 1).to(dtype))
        labels.append(own)
        most.append(most_frequent(own[:, :, None], classes + 1)[:, 0])
        images.append(torch.tensor(batch.ids).repeat_interleave(encoded.shape[1]))
    patches = Patches(
        *map(torch.cat, (features, labels, most)), images=torch.cat(images).to(extractor.device)
    )
    if not (patches.most > 0).any():
        raise ValueError(
            f"no patch of {len(split)} train images has a class as its most frequent label; check "
            "the masks"
        )
    return patches


def patch_labels(masks: Tensor, stride: int) -> Tensor:
    """Cuts masks (B, H, W) int16, ``IGNORE`` where nothing counts, into patches.

    Returns:
        (B, N, p²) int16: 0 where nothing counts, else class + 1.
    """
    batch, height, width = masks.shape
    cut = masks.view(batch, height // stride, stride, width // stride, stride)
    cut = cut.transpose(2, 3).reshape(batch, -1, stride * stride)  # (B, h·w, p²)
    return torch.where(cut == IGNORE, 0, cut + 1).to(torch.int16)


def whole_mask(patches: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Puts patches (N, p²) of one image together: (H, W)."""
    height, width = size[0] // stride, size[1] // stride
    cells = patches.view(height, width, stride, stride)
    return cells.transpose(1, 2).reshape(height * stride, width * stride)


def _require_memory(extractor: FeatureExtractor, images: int, settings: PatchSettings) -> None:
    grid = grid_of(settings.size, extractor.stride)
    width = 2 if settings.dtype == "float16" else 4
    one = grid[0] * grid[1] * (_COPIES * width * extractor.channels + 2 * extractor.stride**2)
    free = _HEADROOM * available_bytes(extractor.device)
    if images * one > free:
        half = "" if settings.dtype == "float16" else "dtype='float16' halves that; "
        raise MemoryError(
            f"patches of {images} train images take {gigabytes(images * one)}, but "
            f"{gigabytes(int(free / _HEADROOM))} are free; {half}?limit={int(free // one)},VAL "
            "behind the folder would fit"
        )
