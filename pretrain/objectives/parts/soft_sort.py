"""Sorting with a gradient: a network of comparators, each of which swaps its two values softly."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from heads.precision import full_precision, no_autocast
from pretrain.names import check_choice
from pretrain.ranges import check_positive

#: A layer's comparators: (wire that gets the lesser value, wire that gets the greater one).
Layer = list[tuple[int, int]]


def bitonic(wires: int) -> list[Layer]:
    """Returns the layers of Batcher's bitonic network: k(k + 1)/2 of them for 2^k wires.

    For other numbers of wires the first ones of the next larger network, and their comparators,
    are left out.
    """
    levels = max(1, math.ceil(math.log2(wires)))
    absent = 2**levels - wires
    layers = []
    for block in range(levels):
        for level in range(block, -1, -1):
            layer = []
            for low in range(absent, 2**levels):
                high = low + 2**level
                if low & 2**level:
                    continue
                turned = (low >> (block + 1)) % 2 == 1
                pair = (low - absent, high - absent)
                layer.append(pair[::-1] if turned else pair)
            layers.append(layer)
    return layers


def odd_even(wires: int) -> list[Layer]:
    """Returns the layers of odd-even transposition sort, as many as wires."""
    layers = []
    for index in range(wires):
        layers.append([(low, low + 1) for low in range(index % 2, wires - 1, 2)])
    return layers


NETWORKS: dict[str, Callable[[int], list[Layer]]] = {"bitonic": bitonic, "odd_even": odd_even}


class SoftSort(nn.Module):
    """Sorts values ascending by a network of comparators with a Cauchy sigmoid (Petersen et al.,
    ICLR 2022, arXiv 2203.09630).

    A comparator keeps each of its two values by α = ½ + arctan(s·(b − a))/π and swaps them by
    1 − α; the permutation mixes likewise. The sigmoid's tails are heavy, so every share stays
    above 0 and has a logarithm; those of a logistic one are 0 in float32.

    Args:
        values: n. network: ``bitonic`` or ``odd_even``. steepness: s; the larger, the harder.

    Raises:
        ValueError: unknown ``network``, or ``steepness`` not positive.
    """

    partners: Tensor
    signs: Tensor

    def __init__(self, values: int, *, network: str = "bitonic", steepness: float = 100.0) -> None:
        super().__init__()
        check_choice("network", network, NETWORKS)
        check_positive(steepness=steepness)
        self.steepness = steepness
        partners, signs = [], []
        for layer in NETWORKS[network](values):
            partner, sign = list(range(values)), [0.0] * values
            for lesser, greater in layer:
                partner[lesser], partner[greater] = greater, lesser
                sign[lesser], sign[greater] = 1.0, -1.0
            partners.append(partner)
            signs.append(sign)
        self.register_buffer("partners", torch.tensor(partners), persistent=False)
        self.register_buffer("signs", torch.tensor(signs), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns the soft permutation: (…, n) -> (…, n, n) shares of each value (row) at each rank
        (column), whose rows and columns sum to 1.

        Cost O(…·n²) for each layer.
        """
        with no_autocast(x):
            x = full_precision(x)
            # (…, rank, value): whole rows move from wire to wire.
            shares = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
            for partner, sign in zip(self.partners, self.signs, strict=True):
                other = x.index_select(-1, partner)
                stays = self._stays(sign.to(x.dtype) * (other - x))
                x = torch.lerp(other, x, stays)
                shares = torch.lerp(shares.index_select(-2, partner), shares, stays[..., None])
            return shares.mT

    def _stays(self, difference: Tensor) -> Tensor:
        """α = ½ + arctan(s·difference)/π, written so that small ones keep their digits."""
        return torch.atan2(torch.ones_like(difference), -self.steepness * difference) / math.pi
