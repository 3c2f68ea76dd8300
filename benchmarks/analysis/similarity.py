"""Linear CKA of two networks' features: biased, debiased, and summed over minibatches.

With features X (n, p) and Y (n, q) of the same n images and Gram matrices K = X Xᵀ, L = Y Yᵀ

    biased     ‖Y'ᵀX'‖² / (‖X'ᵀX'‖ · ‖Y'ᵀY'‖), columns of X' and Y' centred
    debiased   HSIC(K, L) / sqrt(HSIC(K, K) · HSIC(L, L)), diagonals of K and L set to zero, with
    HSIC       [Σ_ij K_ij L_ij + 1ᵀK1 · 1ᵀL1 / ((n−1)(n−2)) − 2/(n−2) · 1ᵀKL1] / (n(n−3))

(Kornblith et al. 2019; Song et al. 2012; Nguyen et al. 2021). Both are 1 for X = Y and do not
change when X is rotated, shifted or scaled as a whole; they do when one of its columns is scaled.
The biased one of independent features is far above 0 unless n is much larger than p and q; the
debiased one is 0 on average, so it may be slightly below 0.

Cost: n · p · q multiply-adds, or n² · (p + q) by Gram matrices where p or q exceeds n.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

LEAST = 4  # images, by the divisor n - 3


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Biased linear CKA of features (n, p) and (n, q) of the same images; NaN for constant ones."""
    cross, own_x, own_y = centred_products(x, y)
    return cross / (own_x * own_y) ** 0.5


def centred_products(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """(‖Y'ᵀX'‖², ‖X'ᵀX'‖², ‖Y'ᵀY'‖²) of features (n, p) and (n, q), centred here, in float64.

    Raises:
        ValueError: features of different numbers of images.
    """
    x, y = _centred(x, y)
    if max(x.shape[1], y.shape[1]) > len(x):
        gram_x, gram_y = x @ x.T, y @ y.T
        pairs = ((gram_x, gram_y), (gram_x, gram_x), (gram_y, gram_y))
        return tuple(float((first * second).sum()) for first, second in pairs)
    return tuple(float((b.T @ a).square().sum()) for a, b in ((x, y), (x, x), (y, y)))


def debiased_cka(x: Tensor, y: Tensor) -> float:
    """Debiased linear CKA of features (n, p) and (n, q) of the same n >= 4 images."""
    sums = MinibatchCKA()
    sums.add(x, y)
    return sums.value


class MinibatchCKA:
    """Debiased CKA from minibatches: their HSICs are averaged, which is right on average since each
    is unbiased; with one batch it is :func:`debiased_cka`.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[Hsic, Hsic, Hsic]] = []

    def add(self, x: Tensor, y: Tensor) -> None:
        """Adds the features (n, p) and (n, q) of n images, 4 at least."""
        self._batches.append(hsics(x, y))

    @property
    def value(self) -> float:
        """The similarity; NaN where the features of a network do not vary."""
        cross, own_x, own_y = self._sums()
        return float(cross / (own_x * own_y).clamp_min(0).sqrt())

    def per_image(self) -> Tensor:
        """(images,) float64, in the order in which they came: how each image moves the value, so
        that their mean is the value and their standard error is the jackknife's.

        With V the value of all N images and V_i without image i: V + (N−1)(mean_j V_j − V_i). NaN
        where a batch has 4 images, of which none can be left out.
        """
        total = self._sums()
        left_out = []
        for parts in self._batches:
            cross, own_x, own_y = (
                whole - part.value + part.without for whole, part in zip(total, parts, strict=True)
            )
            left_out.append(cross / (own_x * own_y).clamp_min(0).sqrt())
        values = torch.cat(left_out)
        return self.value + (len(values) - 1) * (values.mean() - values)

    def _sums(self) -> tuple[Tensor, Tensor, Tensor]:
        columns = zip(*self._batches, strict=True)
        return tuple(torch.stack([part.value for part in column]).sum() for column in columns)


class Hsic(NamedTuple):
    """An unbiased HSIC of n images: of all, () float64, and leaving out each, (n,) float64."""

    value: Tensor
    without: Tensor


def hsics(x: Tensor, y: Tensor) -> tuple[Hsic, Hsic, Hsic]:
    """HSIC(K, L), HSIC(K, K) and HSIC(L, L) of features (n, p) and (n, q).

    Raises:
        ValueError: features of different numbers of images, or of fewer than 4.
    """
    x, y = _centred(x, y)  # changes no HSIC, and keeps large means from eating the digits
    if len(x) < LEAST:
        raise ValueError(
            f"debiased CKA of {len(x)} images: it needs at least {LEAST}; take more images"
        )
    kind = _Matrix if max(x.shape[1], y.shape[1]) > len(x) else _Factor
    gram_x, gram_y = kind(x), kind(y)
    return _hsic(gram_x, gram_y), _hsic(gram_x, gram_x), _hsic(gram_y, gram_y)


def _centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(
            f"features of shapes {tuple(x.shape)} and {tuple(y.shape)}: both must have a row for "
            "each of the same images"
        )
    x, y = x.double(), y.double()
    return x - x.mean(0), y - y.mean(0)


class _Gram(Protocol):
    """A Gram matrix (n, n) with a zero diagonal."""

    def times(self, vector: Tensor) -> Tensor:
        """Its product with (n,)."""

    def overlap(self, other: _Gram) -> Tensor:
        """(n,): sums over rows of its elementwise product with another one of its class."""


class _Matrix:
    """A Gram matrix that is written out: for more features than images."""

    def __init__(self, x: Tensor) -> None:
        self.matrix = (x @ x.T).fill_diagonal_(0)

    def times(self, vector: Tensor) -> Tensor:
        """See :class:`_Gram`."""
        return self.matrix @ vector

    def overlap(self, other: _Matrix) -> Tensor:
        """See :class:`_Gram`."""
        return (self.matrix * other.matrix).sum(1)


class _Factor:
    """A Gram matrix by its factor: for more images than features."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.diagonal = x, x.square().sum(1)

    def times(self, vector: Tensor) -> Tensor:
        """See :class:`_Gram`."""
        return self.x @ (self.x.T @ vector) - self.diagonal * vector

    def overlap(self, other: _Factor) -> Tensor:
        """See :class:`_Gram`."""
        return ((self.x @ (self.x.T @ other.x)) * other.x).sum(1) - self.diagonal * other.diagonal


def _hsic(first: _Gram, second: _Gram) -> Hsic:
    """Of all images, and leaving out each, from sums over rows."""
    overlap = first.overlap(second)
    n = len(overlap)
    ones = torch.ones_like(overlap)
    rows, others = first.times(ones), second.times(ones)
    products, mixed = overlap.sum(), rows @ others
    value = _combine(products, rows.sum() * others.sum(), mixed, n)
    # Without image i, its row and its column go from every sum.
    sums = (rows.sum() - 2 * rows) * (others.sum() - 2 * others)
    mixed = mixed - rows * others - second.times(rows) - first.times(others) + overlap
    return Hsic(value, _combine(products - 2 * overlap, sums, mixed, n - 1))


def _combine(products: Tensor, sums: Tensor, mixed: Tensor, n: int) -> Tensor:
    """The estimate from Σ K L, 1ᵀK1 · 1ᵀL1 and 1ᵀKL1; NaN below 4 images."""
    if n < LEAST:
        return torch.full_like(products, torch.nan)
    whole = products + sums / ((n - 1) * (n - 2)) - 2 * mixed / (n - 2)
    return whole / (n * (n - 3))
