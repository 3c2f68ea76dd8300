"""Maps that stay in memory, so that the next benchmark or upsampler on the same network does not
encode the same images again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.core.memory import available_bytes, gigabytes

#: Share of the free memory that maps may take.
_SHARE = 0.25


class KeptMaps:
    """The maps of one network by the content of the images, on the CPU.

    What is kept stays; once the memory is full, other images are encoded each time. So are images
    of floats, which benchmarks draw anew for every pass, and batches of which one map is missing.
    Benchmarks with batches of unequal sizes may get maps that differ by rounding from those that
    they would have encoded: matrix products round differently for another number of images.

    Args:
        most_bytes: of all maps together; by default a quarter of the free memory.

    Attributes:
        asked, taken: how many maps were asked for, and how many of these were there.
    """

    def __init__(self, most_bytes: int | None = None) -> None:
        self._most = int(_SHARE * available_bytes("cpu")) if most_bytes is None else most_bytes
        self._maps: dict[bytes, Tensor] = {}
        self._bytes = self.asked = self.taken = 0

    def __str__(self) -> str:
        return (
            f"{self.taken:,} of {self.asked:,} maps were encoded before and kept "
            f"({gigabytes(self._bytes)})"
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
        self.asked += len(keys)
        if all(key in self._maps for key in keys):
            self.taken += len(keys)
            return torch.stack([self._maps[key] for key in keys]).to(device)
        maps = encode(images)
        for key, encoded in zip(keys, maps, strict=True):
            self._keep(key, encoded)
        return maps

    def _keep(self, key: bytes, encoded: Tensor) -> None:
        """Keeps one map (C, h, w) if there is room."""
        size = encoded.nbytes
        if key not in self._maps and self._bytes + size <= self._most:
            self._maps[key] = encoded.detach().cpu().clone()
            self._bytes += size


def _content(image: Tensor) -> bytes:
    """Key of an image (3, H, W) uint8: shape and pixels."""
    digest = hashlib.blake2b(str(tuple(image.shape)).encode(), digest_size=16)
    digest.update(image.cpu().contiguous().numpy())
    return digest.digest()
