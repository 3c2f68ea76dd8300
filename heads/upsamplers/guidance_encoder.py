"""From an image to one vector per pixel, by colour and texture; and the rotation that tells vectors
where they are.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GuidanceEncoder(nn.Module):
    """Two branches of residual blocks, pointwise (colour, exact at edges) and 3×3 (texture),
    concatenated and mixed.

    Norms are over the channels of a pixel, so a pixel's vector depends on its surroundings of
    2·depth + 1 pixels to either side and on nothing else: images may be of any size. Borders are
    replicated.

    Args:
        dim: Channels of the result, even.
        depth: Residual blocks of each branch.
    """

    def __init__(self, dim: int, depth: int) -> None:
        super().__init__()
        self.colour, self.texture = (_branch(dim // 2, depth, side) for side in (1, 3))
        self.mix = nn.Conv2d(dim, dim, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Encodes (B, 3, H, W), normalised, to (B, dim, H, W)."""
        return self.mix(torch.cat([self.colour(image), self.texture(image)], 1))


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of every pixel of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalises x; same shape and dtype."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class _Block(nn.Module):
    """x + conv(GELU(norm(x)))."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.norm, self.conv = ChannelNorm(channels), _conv(channels, channels, side)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.gelu(self.norm(x)))


def rotate(x: Tensor, scale: float, half_turns: tuple[float, float] = (3.0, 9.0)) -> Tensor:
    """Rotary position embedding over both axes: afterwards ⟨x, y⟩ depends on where x and y are
    relative to each other.

    A quarter of the channels pairs with the next quarter and turns with the row, the other half
    turns with the column; half a turn takes from the first of ``half_turns`` units to the last,
    geometrically spaced. Nothing is learned.

    Args:
        x: (..., d, H, W) with d a multiple of 4.
        scale: Units per pixel; the pixel in row Y stands at (Y + ½)·scale.
        half_turns: Units that half a turn takes at the fastest and at the slowest speed.

    Returns:
        Same shape and dtype; lengths are kept.
    """
    fastest, slowest = (math.log(units) for units in half_turns)
    speeds = (
        math.pi
        * torch.linspace(-fastest, -slowest, x.shape[-3] // 4, dtype=x.dtype, device=x.device).exp()
    )
    row, column = (
        (torch.arange(side, dtype=x.dtype, device=x.device) + 0.5) * scale * speeds[:, None]
        for side in x.shape[-2:]
    )  # (d/4, H), (d/4, W)
    turned = []
    for (first, second), angle in zip(
        (half.chunk(2, -3) for half in x.chunk(2, -3)),
        (row[..., None], column[:, None]),
        strict=True,
    ):
        cos, sin = angle.cos(), angle.sin()
        turned += [first * cos - second * sin, first * sin + second * cos]
    return torch.cat(turned, -3)


def _branch(channels: int, depth: int, side: int) -> nn.Sequential:
    return nn.Sequential(_conv(3, channels, side), *(_Block(channels, side) for _ in range(depth)))


def _conv(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, side, padding=side // 2, padding_mode="replicate" if side > 1 else "zeros"
    )
