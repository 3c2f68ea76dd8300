"""Shuffled blocks: a known image, loops, inverses, and permutations that move little."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.finetune.shuffle import (
    LEAST_MOVED,
    BlockShuffle,
    draw_permutation,
    moved_share,
    shuffle_blocks,
)


def inverse(permutation: torch.Tensor) -> torch.Tensor:
    return torch.argsort(permutation)


def test_the_image_of_the_specification() -> None:
    image, permutation = torch.arange(16).view(4, 4), torch.tensor([2, 0, 3, 1])
    shuffled = shuffle_blocks(image, permutation, block=2)
    assert shuffled.tolist() == [[8, 9, 0, 1], [12, 13, 4, 5], [10, 11, 2, 3], [14, 15, 6, 7]]
    assert torch.equal(shuffle_blocks(shuffled, inverse(permutation), block=2), image)
    assert shuffled.flatten().sort().values.tolist() == list(range(16))


@pytest.mark.parametrize("block", [1, 2, 3, 4, 6, 12])
def test_against_loops(block: int) -> None:
    """Channels move together; whatever the axes before are."""
    generator = torch.Generator().manual_seed(0)
    images, side = torch.randn(2, 3, 12, 12, generator=generator), 12 // block
    permutation = torch.randperm(side**2, generator=generator)
    expected = torch.empty_like(images)
    for place, origin in enumerate(permutation.tolist()):
        to, back = divmod(place, side), divmod(origin, side)
        rows, columns = (slice(block * n, block * (n + 1)) for n in to)
        their_rows, their_columns = (slice(block * n, block * (n + 1)) for n in back)
        expected[..., rows, columns] = images[..., their_rows, their_columns]
    assert torch.equal(shuffle_blocks(images, permutation, block=block), expected)
    again = shuffle_blocks(expected, inverse(permutation), block=block)
    assert torch.equal(again, images)


@pytest.mark.parametrize("block", [1, 2, 4, 8, "*"])
def test_a_module_shuffles_all_images_alike_and_keeps_their_values(block: int | str) -> None:
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    shuffle = BlockShuffle(8, block, seed=1)
    shuffled = shuffle(images)
    for before, after in zip(images, shuffled, strict=True):
        assert torch.equal(before.flatten().sort().values, after.flatten().sort().values)
        assert torch.equal(shuffle(before[None])[0], after)
    assert torch.equal(shuffled, images) == (block == 8)
    assert shuffle.moved == 0 if block == 8 else shuffle.moved >= LEAST_MOVED
    assert torch.equal(BlockShuffle(8, block, seed=1)(images), shuffled)
    assert not shuffle.state_dict() and shuffled.is_contiguous(memory_format=torch.channels_last)


def test_the_star_moves_values_across_channels_and_blocks_do_not() -> None:
    images = torch.arange(3.0).view(1, 3, 1, 1).expand(1, 3, 8, 8)  # a number for each channel
    assert torch.equal(BlockShuffle(8, 1)(images), images)
    assert not torch.equal(BlockShuffle(8, "*")(images), images)


def test_seeds_draw_other_permutations() -> None:
    drawn = {tuple(draw_permutation(16, seed)) for seed in range(20)}
    assert len(drawn) == 20


def test_permutations_that_move_little_are_drawn_again() -> None:
    """The official code takes what RandomState(1234 + seed) gives: for the four blocks of half the
    image's side its first seed is no shuffle at all.
    """
    assert moved_share(np.random.RandomState(1234).permutation(4)) == 0
    assert np.random.RandomState(1235).permutation(4).tolist() == [1, 0, 2, 3]
    shares = [moved_share(draw_permutation(4, seed)) for seed in range(200)]
    assert min(shares) == LEAST_MOVED and max(shares) == 1
    plain = np.random.default_rng(0)
    assert min(moved_share(plain.permutation(4)) for _ in range(200)) < LEAST_MOVED
    assert moved_share(draw_permutation(1, 0)) == 0  # a single block has nowhere to go


@pytest.mark.parametrize("block", [3, 0, 16, -2])
def test_blocks_that_do_not_fill_the_image_are_refused(block: int) -> None:
    with pytest.raises(ValueError, match=rf"block={block}: .* legal are 1, 2, 4, 8, and '\*'"):
        BlockShuffle(8, block)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one of \(B, 3, 8, 8\); give model.size and views.size"):
        BlockShuffle(8, 2)(torch.zeros(1, 3, 16, 16))
