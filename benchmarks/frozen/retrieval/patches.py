"""From masks to soft patch labels, and from patches to the memory of dense retrieval.

Protocol: methods of Balazevic et al. 2023 (arXiv 2306.01667) as its open re-implementation runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks.data.label_maps import IGNORE


def patch_counts(masks: Tensor, classes: int, grid: tuple[int, int]) -> Tensor:
    """Counts the pixels of each class in each patch.

    Args:
        masks: (B, H, W) integer classes, ``IGNORE`` where nothing counts.
        classes: C.
        grid: (h, w), must divide (H, W).

    Returns:
        (B, h, w, C) int64. Divided by the pixels of a patch it is the soft label, whose sum is
        1 - (share of ignored pixels).

    Raises:
        ValueError: the grid does not divide the mask.
    """
    batch, height, width = masks.shape
    h, w = grid
    if height % h or width % w:
        raise ValueError(
            f"grid {h}x{w} does not divide masks of {height}x{width} pixels; choose a multiple"
        )
    rows = torch.arange(height, device=masks.device) // (height // h)
    columns = torch.arange(width, device=masks.device) // (width // w)
    images = torch.arange(batch, device=masks.device)
    patch = (images[:, None, None] * h + rows[None, :, None]) * w + columns  # (B, H, W)
    valid = masks != IGNORE
    index = patch[valid] * classes + masks[valid].long()
    return torch.bincount(index, minlength=batch * h * w * classes).view(batch, h, w, classes)


class PatchLabels(Protocol):
    """What the memory stores of the label maps' patches.

    Attributes:
        width: Values per patch.
        word: What these are, for messages.
        dtype: They are stored as they are in this dtype; None: they are counts of pixels, see
            :class:`PatchMemory`.
    """

    width: int
    word: str
    dtype: torch.dtype | None

    def __call__(self, masks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Returns of label maps (B, H, W) the counts (B, h·w, any) that :func:`select_patches`
        chooses by, and the labels (B, h·w, width)."""


@dataclass(frozen=True)
class ClassLabels:
    """Pixels of each class in a patch.

    Attributes:
        width: C.
        ignored_as: The class that ignored pixels are counted as (compat); None: as none.
    """

    width: int
    ignored_as: int | None = None
    word: ClassVar[str] = "classes"
    dtype: ClassVar[None] = None

    def __call__(self, masks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """See :class:`PatchLabels`; both are the same (B, h·w, C) int64."""
        if self.ignored_as is not None:
            masks = masks.masked_fill(masks == IGNORE, self.ignored_as)
        counts = patch_counts(masks, self.width, grid).flatten(1, 2)
        return counts, counts


def select_patches(counts: Tensor, limit: int | None, rng: np.random.Generator) -> Tensor:
    """Chooses which patches of one image enter the memory, preferring locally rare classes.

    score = (sum over the classes present in a patch of the number of patches of this image that
    contain the class) x U(0, 1); the lowest scores stay. A patch with ignored pixels only is never
    chosen, none is chosen twice.

    Args:
        counts: (N, C) pixels of each class per patch.
        limit: Most patches to keep; None keeps every valid one (and draws nothing).
        rng: Source of U(0, 1).

    Returns:
        (n,) int64 ascending patch indices, n = min(limit, valid patches).
    """
    present = counts > 0
    valid = present.any(1).nonzero()[:, 0]
    if limit is None or limit >= len(valid):
        return valid
    frequency = present.sum(0).double()  # (C,) patches of this image that contain the class
    noise = torch.from_numpy(rng.random(len(counts))).to(counts.device)
    score = (present.double() @ frequency) * noise
    lowest = torch.argsort(score[valid], stable=True)[:limit]
    return valid[lowest].sort().values


class PatchMemory:
    """Keys and soft labels of the memory, filled in place: peak memory is what is announced, not
    twice that.

    Counts of pixels are held as uint8 when a patch has at most 255 pixels (exact), else as float16
    shares; labels with a dtype of their own are held as they are.

    Attributes:
        keys: (M, D) unit-norm, float32 or float16.
        labels: (M, C) uint8, float16 or of ``label_dtype``; ``label_scale`` times them are the soft
            labels.
    """

    def __init__(
        self,
        capacity: int,
        width: int,
        *,
        classes: int,
        patch_pixels: int,
        dtype: torch.dtype,
        device: torch.device,
        label_dtype: torch.dtype | None = None,
    ) -> None:
        self.patch_pixels = patch_pixels
        counted = label_dtype is None
        self.label_scale = 1 / patch_pixels if counted and patch_pixels <= 255 else 1.0
        self._as_shares = counted and patch_pixels > 255
        label_dtype = label_storage(patch_pixels) if counted else label_dtype
        self._keys = torch.empty(capacity, width, dtype=dtype, device=device)
        self._labels = torch.empty(capacity, classes, dtype=label_dtype, device=device)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    @property
    def keys(self) -> Tensor:
        """(M, D), the filled part."""
        return self._keys[: self._length]

    @property
    def labels(self) -> Tensor:
        """(M, C), the filled part."""
        return self._labels[: self._length]

    def add(self, keys: Tensor, labels: Tensor) -> None:
        """Appends (n, D) unit-norm keys and their (n, C) labels, which are counts of pixels unless
        they have a dtype of their own.
        """
        end = self._length + len(keys)
        self._keys[self._length : end] = keys
        self._labels[self._length : end] = labels / self.patch_pixels if self._as_shares else labels
        self._length = end


def label_storage(patch_pixels: int) -> torch.dtype:
    """The dtype that labels of patches of so many pixels are held in."""
    return torch.uint8 if patch_pixels <= 255 else torch.float16
