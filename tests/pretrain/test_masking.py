"""Masks of cells: how many they hide, where, and that they follow the process's generator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrain.masking import Masking, block_mask, inverse_block_mask, random_mask


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("count", "mean"), [(25, 24.90), (50, 49.93), (77, 76.92), (102, 101.93), (128, 127.91)]
)
def test_blocks_hide_as_many_cells_as_dinov2s_code_does(count: int, mean: float) -> None:
    """Means of the official code on 16 × 16 cells; it hides exactly ``count`` in 90 to 94 %."""
    rng, hidden = generator(), []
    for _ in range(1500):
        hidden.append(int(block_mask((16, 16), count, rng).sum()))
    assert max(hidden) <= count
    assert np.mean(hidden) == pytest.approx(mean, abs=0.04)
    assert np.mean(np.array(hidden) == count) == pytest.approx(0.92, abs=0.04)


def test_a_batch_is_masked_by_dinov2s_rule_and_by_ibots() -> None:
    torch.manual_seed(0)
    masks = Masking().draw(500, 2, grid=(16, 16)).flatten(2).double().mean(2).flatten()
    assert int((masks > 0).sum()) == 500
    assert masks[masks > 0].mean().item() == pytest.approx(0.298, abs=0.004)
    ibot = Masking(spread="view", smallest=16, share=1.0)
    shares = ibot.draw(700, 2, grid=(14, 14)).flatten(2).double().mean(2)
    assert shares.mean().item() == pytest.approx(0.293, abs=0.008)
    some = Masking(spread="view", share=0.5).draw(500, 2, grid=(8, 8)).flatten(2).any(2)
    assert some.double().mean().item() == pytest.approx(0.5, abs=0.05)


def test_ratios_cover_equal_bins() -> None:
    torch.manual_seed(1)
    masks = Masking(shape="random", share=1.0, ratio=(0.0, 1.0)).draw(10, 1, grid=(100, 100))
    shares = masks.flatten(1).double().mean(1).sort().values
    assert all(place / 10 - 1e-4 <= share <= (place + 1) / 10 for place, share in enumerate(shares))


def test_single_cells_are_exact_and_equally_likely() -> None:
    rng = generator()
    total = sum(random_mask((4, 5), 7, rng).astype(int) for _ in range(2000))
    assert total.sum() == 7 * 2000
    assert np.allclose(total / 2000, 7 / 20, atol=0.05)


def test_the_visible_rectangle_lies_anywhere() -> None:
    rng, total = generator(), np.zeros((8, 8))
    for _ in range(3000):
        visible = ~inverse_block_mask((8, 8), 48, rng)
        assert 12 <= visible.sum() <= 20
        total += visible
    assert np.allclose(total / total.mean(), 1, atol=0.12)
    assert (~inverse_block_mask((3, 3), 9, rng)).sum() == 1


def test_drawn_from_torchs_generator_alone() -> None:
    masking = Masking(shape="block")
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = masking.draw(4, 2, grid=(6, 6)), masking.draw(4, 2, grid=(6, 6))
    torch.set_rng_state(state)
    np.random.seed(99)
    assert torch.equal(masking.draw(4, 2, grid=(6, 6)), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(share=1.5), r"masking.share=1.5: must lie in \[0, 1\]"),
        (dict(ratio=(0.5, 0.1)), r"masking.ratio=\(0.5, 0.1\): must hold 0 <= low <= high <= 1"),
        (dict(smallest=0), "masking.smallest=0: must be at least 1 cell"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Masking(**options)
