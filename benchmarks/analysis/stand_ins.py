"""What takes a network's place where an analysis asks what it would give for nothing."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from torch import Tensor

from benchmarks.core.place import coordinates

NOISE_CHANNELS = 64


class Noise:
    """Feature extractor without a network: normal noise, the same for the same image; device CPU.

    Args:
        stride: Pixels per cell.
        seed: Of the noise.
    """

    def __init__(self, stride: int, *, seed: int = 0) -> None:
        self.stride, self.seed = stride, seed
        self.device = torch.device("cpu")

    def maps(self, images: Tensor) -> Tensor:
        """(B, 64, H / stride, W / stride) of images (B, 3, H, W) uint8."""
        grid = images.shape[2] // self.stride, images.shape[3] // self.stride
        maps = []
        for image in images:
            key = zlib.crc32(image.contiguous().numpy().tobytes(), self.seed)
            generator = torch.Generator().manual_seed(key)
            maps.append(torch.randn(NOISE_CHANNELS, *grid, generator=generator))
        return torch.stack(maps)

    def vector(self, images: Tensor) -> Tensor:
        """(B, 64), the mean of the cells."""
        return self.maps(images).mean((2, 3))

    def describe(self) -> dict[str, Any]:
        """See ``FeatureExtractor.describe``."""
        return dict(spec="noise", stride=self.stride, channels=NOISE_CHANNELS)


class Places:
    """Feature extractor without a network that knows nothing but place: row and column from 0 to 1;
    device CPU.

    Args:
        stride: Pixels per cell.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.device = torch.device("cpu")

    def maps(self, images: Tensor) -> Tensor:
        """(B, 2, H / stride, W / stride) of images (B, 3, H, W)."""
        grid = images.shape[2] // self.stride, images.shape[3] // self.stride
        return coordinates(grid).float().T.reshape(1, 2, *grid).repeat(len(images), 1, 1, 1)

    def describe(self) -> dict[str, Any]:
        """See ``FeatureExtractor.describe``."""
        return dict(spec="position", stride=self.stride)
