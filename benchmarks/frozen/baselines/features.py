"""What stands in for a network: pixels, colours and places, or a predictor that sees no image."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

PIXELS = 16  # side of the small image that stands for a vector


class ColourPosition:
    """Feature extractor without a network: mean colour and position of each patch, device CPU.

    Channels: R, G, B in [-0.5, 0.5], x and y in [-0.5, 0.5] times ``position_weight``, and a
    constant 1. On the unit sphere the cosine of two such features is about 1 - |difference|²/2:
    without the constant it would compare directions of colour only, and grey would have none.

    Args:
        stride: Pixels per patch.
        position_weight: Of x and y against colour.
        upsampled_stride: Pixels per output of what reads the features out at another resolution;
            None = ``stride``.
    """

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    channels = 6
    upsampler = None

    def __init__(
        self, stride: int, position_weight: float = 1.0, *, upsampled_stride: int | None = None
    ) -> None:
        self.stride, self.position_weight = stride, position_weight
        self.grid_stride, self.upsampled_stride = stride, upsampled_stride or stride
        self.device = torch.device("cpu")

    def maps(self, images: Tensor) -> Tensor:
        """Encodes (B, 3, H, W) uint8, or float in [0, 1], to (B, 6, H / stride, W / stride)."""
        colour = F.avg_pool2d(self.normalise(images), self.stride) - 0.5
        h, w = colour.shape[-2:]
        y, x = torch.meshgrid(
            (torch.arange(h) + 0.5) / h - 0.5, (torch.arange(w) + 0.5) / w - 0.5, indexing="ij"
        )
        position = self.position_weight * torch.stack([x, y]).expand(len(images), 2, h, w)
        return torch.cat([colour, position, torch.ones(len(images), 1, h, w)], 1)

    def encode(self, images: Tensor) -> Tensor:
        """See :meth:`maps`."""
        return self.maps(images)

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


class NoImage:
    """Stands for a predictor that looks at no image.

    Args:
        name: Of the predictor.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.device = torch.device("cpu")

    def describe(self) -> dict[str, Any]:
        """See ``FeatureExtractor.describe``."""
        return dict(spec=self.name)
