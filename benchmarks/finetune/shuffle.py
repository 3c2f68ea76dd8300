"""A fixed shuffle of the blocks of every image, in training and in tests.

Neyshabur, Sedghi and Zhang, What is being transferred in transfer learning? (NeurIPS 2020): the
smaller the blocks, the less of an image's structure is left, while the values stay the same. What
pretraining still gains was then no knowledge of shapes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

#: Share of blocks that must move: the official code draws whatever comes, and its first seed leaves
#: all four blocks of half the image's side where they are.
LEAST_MOVED = 0.75


def shuffle_blocks(images: Tensor, permutation: Tensor, *, block: int) -> Tensor:
    """Block k of the result is block ``permutation[k]`` of the image, in row-major order; pixels in
    a block keep their places, and channels move together.

    Args:
        images: (…, S, S), of any type.
        permutation: (n,) int64 of the n = (S / block)² blocks.
        block: side of a block in pixels.

    Raises:
        ValueError: ``block`` does not divide S.
    """
    side = blocks_per_side(images.shape[-1], block)
    blocks = images.unflatten(-1, (side, block)).unflatten(-3, (side, block))  # … g b g b
    blocks = blocks.transpose(-2, -3).flatten(-4, -3)  # … n b b
    moved = blocks.index_select(-3, permutation).unflatten(-3, (side, side))  # … g g b b
    return moved.transpose(-2, -3).flatten(-2).flatten(-3, -2)


def blocks_per_side(size: int, block: int) -> int:
    """How many blocks lie along a side.

    Raises:
        ValueError: the blocks do not fill it; names the sizes that do.
    """
    if not 1 <= block <= size or size % block:
        legal = [str(side) for side in range(1, size + 1) if size % side == 0]
        raise ValueError(
            f"block={block}: images of {size} × {size} pixels are not cut into such blocks; legal "
            f"are {', '.join(legal)}, and '*' (every value moves alone)"
        )
    return size // block


def moved_share(permutation: np.ndarray) -> float:
    """Share of the places (n,) that a permutation fills with another's content."""
    return float(np.mean(permutation != np.arange(len(permutation))))


def draw_permutation(count: int, seed: int) -> np.ndarray:
    """Draws a permutation (count,) int64; drawn again until :data:`LEAST_MOVED` of it moves.

    A single place has nowhere to go: its permutation is the identity.
    """
    random = np.random.default_rng([seed, count])
    permutation = random.permutation(count)
    while count > 1 and moved_share(permutation) < LEAST_MOVED:
        permutation = random.permutation(count)
    return permutation


@MODELS.register_module()
class BlockShuffle(nn.Module):
    """Shuffles normalised images (B, 3, S, S) by one permutation, drawn when it is built.

    Args:
        size: S in pixels.
        block: side of the blocks in pixels; ``"*"`` moves each of the 3 · S · S values alone,
            across channels; S leaves images as they are.
        seed: of the draw.

    Attributes:
        moved: share of the blocks, or values, that change their place.

    Raises:
        ValueError: blocks that do not fill the image.
    """

    order: Tensor

    def __init__(self, size: int, block: int | Literal["*"], seed: int = 0) -> None:
        super().__init__()
        self.size, self.block = size, block
        count = 3 * size**2 if block == "*" else blocks_per_side(size, block) ** 2
        permutation = draw_permutation(count, seed)
        self.moved = moved_share(permutation)
        order = torch.from_numpy(permutation)
        if block != "*":
            pixels = torch.arange(size**2).view(size, size)
            order = shuffle_blocks(pixels, order, block=block).flatten()
        self.register_buffer("order", order, persistent=False)  # the seed stands for it

    def forward(self, images: Tensor) -> Tensor:
        """Returns the shuffled images (B, 3, S, S), channels last.

        Raises:
            ValueError: images of another size.
        """
        if images.shape[1:] != (3, self.size, self.size):
            raise ValueError(
                f"images {tuple(images.shape)}: this shuffle is one of (B, 3, {self.size}, "
                f"{self.size}); give model.size and views.size one value"
            )
        start = 1 if self.block == "*" else 2
        shuffled = images.flatten(start)[..., self.order].view(images.shape)
        return shuffled.contiguous(memory_format=torch.channels_last)
