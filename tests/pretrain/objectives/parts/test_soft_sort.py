"""Soft sorting: numbers of the specification, permutations, and the limit of hard sorting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pretrain.objectives.parts.soft_sort import NETWORKS, SoftSort, bitonic, odd_even

VALUES = torch.tensor([0.3, -0.1, 0.8, 0.2], dtype=torch.float64)


def test_numbers_of_the_specification() -> None:
    shares = SoftSort(4, steepness=100)(VALUES)
    expected = [0.008200, 0.033325, 0.952346, 0.006129, 0.978028, 0.010752, 0.007660, 0.003560]
    expected += [0.003560, 0.005108, 0.006488, 0.984844, 0.010212, 0.950815, 0.033506, 0.005467]
    assert shares.flatten().tolist() == pytest.approx(expected, abs=6e-7)
    for steepness, values in (
        (100, [-0.090453, 0.203172, 0.296829, 0.790452]),
        (10, [-0.006530, 0.215345, 0.285793, 0.705392]),
    ):
        ranked = VALUES @ SoftSort(4, steepness=steepness)(VALUES)
        assert ranked.tolist() == pytest.approx(values, abs=6e-7)


def by_matrices(x: Tensor, network: str, steepness: float) -> Tensor:
    """The same for one row, comparator by comparator, each a matrix."""
    values, shares = x.clone(), torch.eye(len(x), dtype=x.dtype)
    for layer in NETWORKS[network](len(x)):
        for low, high in layer:
            stays = 0.5 + torch.atan(steepness * (values[high] - values[low])) / torch.pi
            swap = torch.eye(len(x), dtype=x.dtype)
            swap[low, low] = swap[high, high] = stays
            swap[low, high] = swap[high, low] = 1 - stays
            values, shares = swap @ values, shares @ swap
    return shares


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("count", [2, 5, 9, 16])
def test_against_matrices(network: str, count: int, wave: Callable[..., Tensor]) -> None:
    x = wave(count, 3, count)
    shares = SoftSort(count, network=network, steepness=7)(x)
    for row, expected in zip(shares, x, strict=True):
        assert torch.allclose(row, by_matrices(expected, network, 7))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("count", [2, 3, 7, 13, 49])
def test_steep_comparators_sort_and_shares_add_up(network: str, count: int) -> None:
    x = torch.randn(50, count, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    hard = SoftSort(count, network=network, steepness=1e10)(x)
    assert torch.allclose((x[:, None] @ hard)[:, 0], x.sort(1).values, atol=1e-5)
    soft = SoftSort(count, network=network, steepness=20)(x)
    ones = torch.ones(50, count, dtype=torch.float64)
    assert torch.allclose(soft.sum(1), ones) and torch.allclose(soft.sum(2), ones)


def test_layers_of_49_wires() -> None:
    assert len(bitonic(49)) == 21 and len(odd_even(49)) == 49
    for layers in (bitonic(49), odd_even(49)):
        for layer in layers:
            wires = [wire for pair in layer for wire in pair]
            assert len(wires) == len(set(wires)) and set(wires) <= set(range(49))


def test_how_soft_an_order_of_close_cosines_is() -> None:
    """49 cosines of spread 0.1: little of a reference lies at its own rank, and the entropy is
    nearly that of no order at all.
    """
    x = 0.1 * torch.randn(200, 49, generator=torch.Generator().manual_seed(0))
    shares = SoftSort(49)(x)
    own = shares.gather(2, x.argsort(1).argsort(1)[..., None])
    assert own.mean().item() == pytest.approx(0.12, abs=0.01)
    assert -torch.xlogy(shares, shares).sum(2).mean().item() == pytest.approx(3.17, abs=0.05)


def test_every_share_has_a_logarithm_in_float32() -> None:
    """Wide, steep and narrow; also where autocast would go to bfloat16."""
    x = torch.randn(64, 49, generator=torch.Generator().manual_seed(0))
    for spread, steepness in ((0.1, 100), (1.0, 1000), (0.0, 100)):
        values = (spread * x).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            shares = SoftSort(49, steepness=steepness)(values)
        assert shares.dtype == torch.float32 and shares.min() > 0
        shares.log().sum().backward()
        assert torch.isfinite(values.grad).all()


def test_slopes() -> None:
    x = VALUES.clone().requires_grad_()
    assert torch.autograd.gradcheck(SoftSort(4, steepness=3), x)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="network='quick'"):
        SoftSort(4, network="quick")
    with pytest.raises(ValueError, match="steepness=0: must be positive"):
        SoftSort(4, steepness=0)
