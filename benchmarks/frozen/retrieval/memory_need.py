"""How much memory a retrieval will take, said before it is taken, and refused with the smallest
change that fits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from benchmarks.core.memory import gigabytes
from benchmarks.frozen.retrieval.patches import label_storage

# share of the free memory that may be planned: the encoder's activations need the rest
HEADROOM = 0.9


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes per process of a patch memory.

    Attributes:
        entries: M, all processes together.
        width: D.
        classes: C.
        patch_pixels: p², decides how labels are stored.
        dtype: of the keys, ``float32`` or ``float16``.
        shards: processes that share the keys; labels are held whole by each.
        copies: of the keys held at once (2 where a GPU faiss index copies them).
        label_dtype: of the labels; None: as ``patch_pixels`` decides.
        word: what the C values of a label are, for messages.
    """

    entries: int
    width: int
    classes: int
    patch_pixels: int
    dtype: str = "float32"
    shards: int = 1
    copies: int = 1
    label_dtype: torch.dtype | None = None
    word: str = "classes"

    @property
    def keys(self) -> int:
        """Bytes of the keys on one process."""
        size = 2 if self.dtype == "float16" else 4
        return self.entries * self.width * size * self.copies // self.shards

    @property
    def labels(self) -> int:
        """Bytes of the labels on one process."""
        dtype = self.label_dtype or label_storage(self.patch_pixels)
        return self.entries * self.classes * torch.empty(0, dtype=dtype).element_size()

    @property
    def total(self) -> int:
        """Bytes on one process."""
        return self.keys + self.labels

    def __str__(self) -> str:
        shared = f" on each of {self.shards} processes" if self.shards > 1 else ""
        return (
            f"memory of {self.entries:,} patches x {self.width} channels {self.dtype}: keys "
            f"{gigabytes(self.keys)} + labels of {self.classes} {self.word} "
            f"{gigabytes(self.labels)} = {gigabytes(self.total)}{shared}"
        )


def check_memory(need: MemoryNeed, available: int) -> None:
    """Does nothing if ``need`` fits into ``available`` bytes with headroom.

    Raises:
        MemoryError: it does not fit; the message names the smallest change that would.
    """
    if need.total > HEADROOM * available:
        raise MemoryError(
            f"{need}, but {gigabytes(available)} are free; {smallest_change(need, available)}"
        )


def check_batch(images: int, *, channels: int, cells: int, available: int) -> None:
    """Does nothing if the upsampled maps of a batch fit: the maps, their squares, their unit-norm
    copies in float32.

    Args:
        images: Of a batch.
        channels: C.
        cells: Of one upsampled map.
        available: Bytes.

    Raises:
        MemoryError: they do not fit; the message names the batch size that would.
    """
    one = 3 * 4 * channels * cells
    if images * one > HEADROOM * available:
        fitting = int(HEADROOM * available / one)
        advice = f"batch_size={fitting}" if fitting else "only a larger upsampled stride"
        raise MemoryError(
            f"upsampled maps of {images} images, {cells:,} cells x {channels} channels each, take "
            f"{gigabytes(images * one)}, but {gigabytes(available)} are free; {advice} would fit"
        )


def smallest_change(need: MemoryNeed, available: int) -> str:
    """Names the first of float16 keys, sharded keys (up to 8 processes), smaller M that fits, in
    this order: the first leaves every neighbour but ties in place, the second all of them, the
    third changes the benchmark.
    """
    limit = HEADROOM * available
    if need.dtype != "float16" and replace(need, dtype="float16").total <= limit:
        return "dtype='float16' would fit"
    for shards in range(need.shards + 1, 9):
        if replace(need, shards=shards).total <= limit:
            return f"placement='shard' over {shards} processes with as much memory each would fit"
    half = replace(need, dtype="float16")
    entries = int(limit * need.entries / half.total)
    return f"dtype='float16' with memory_size={entries // 1000 * 1000 or entries} would fit"
