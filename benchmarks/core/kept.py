"""Tensors that stay in memory, so that nobody computes them again: of one benchmark by a key, and
the maps of one network by the content of the images, for all benchmarks and upsamplers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

from benchmarks.core.memory import available_bytes, gigabytes

#: Share of the free memory that maps may take.
_SHARE = 0.25


class Kept:
    """Tensors by key, computed once and kept while a budget lasts; never thrown out again.

    Args:
        budget: Bytes.
    """

    def __init__(self, budget: int) -> None:
        self.left = budget
        self._held: dict[Hashable, tuple[Tensor, ...]] = {}

    def get(self, key: Hashable) -> tuple[Tensor, ...] | None:
        """What is kept under a key; None if nothing is."""
        return self._held.get(key)

    def put(self, key: Hashable, tensors: tuple[Tensor, ...]) -> None:
        """Keeps tensors if the budget allows; views are copied, lest they keep their whole batch
        alive.
        """
        size = sum(t.numel() * t.element_size() for t in tensors)
        if key not in self._held and size <= self.left:
            self.left -= size
            self._held[key] = tuple(map(_alone, tensors))


def _alone(tensor: Tensor) -> Tensor:
    """The tensor in a storage of its own."""
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor


def budget_of(most: int, device: torch.device | str) -> int:
    """Bytes that may be kept: ``most``, but no more than half of what is free on the device."""
    return min(most, available_bytes(device) // 2)


class KeptMaps:
    """The maps of one network by the content of the images, on the CPU.

    Once the memory is full, other images are encoded each time. So are images of floats, which
    benchmarks draw anew for every pass, and batches of which one map is missing.
    Benchmarks with batches of unequal sizes may get maps that differ by rounding from those that
    they would have encoded: matrix products round differently for another number of images.

    Args:
        most_bytes: of all maps together; by default a quarter of the free memory.

    Attributes:
        asked, taken: how many maps were asked for, and how many of these were there.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most = int(_SHARE * available_bytes("cpu")) if most_bytes is None else most_bytes
        self._kept = Kept(self._most)
        self.asked = self.taken = 0

    def __str__(self) -> str:
        return (
            f"{self.taken:,} of {self.asked:,} maps were encoded before and kept "
            f"({gigabytes(self._most - self._kept.left)})"
        )

    def maps(
        self, images: Tensor, encode: Callable[[Tensor], Tensor], device: torch.device
    ) -> Tensor:
        """Returns the maps (B, C, h, w) of images.

        Args:
            images: (B, 3, H, W), un-normalised.
            encode: gives the maps of images, on ``device``.
            device: of the result.
        """
        if images.dtype != torch.uint8:
            return encode(images)
        keys = [_content(image) for image in images]
        held = [self._kept.get(key) for key in keys]
        self.asked += len(keys)
        if None not in held:
            self.taken += len(keys)
            return torch.cat([encoded for (encoded,) in held]).to(device)
        maps = encode(images)
        for key, encoded in zip(keys, maps.detach().cpu().split(1), strict=True):
            self._kept.put(key, (encoded.clone(),))
        return maps


def _content(image: Tensor) -> bytes:
    """Key of an image (3, H, W) uint8: shape and pixels."""
    digest = hashlib.blake2b(str(tuple(image.shape)).encode(), digest_size=16)
    digest.update(image.cpu().contiguous().numpy())
    return digest.digest()
