"""CKA: vectors of the specification, obvious re-implementations, invariances, floors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.analysis.similarity import MinibatchCKA, debiased_cka, hsics, linear_cka

# Values of the specification, computed in numpy, float64.
X = torch.tensor([(1, 2), (3, 1), (0, 1), (2, 4), (5, 0)]).double()
Y = torch.tensor([(2, 0, 1), (1, 1, 3), (0, 2, 0), (4, 1, 1), (3, 3, 5)]).double()
BOTH = pytest.mark.parametrize("cka", [linear_cka, debiased_cka])


def random_features(n: int, p: int, seed: int) -> Tensor:
    """(n, p) float64, standard normal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, p, generator=generator, dtype=torch.float64)


def slow_hsic(x: Tensor, y: Tensor) -> float:
    """HSIC as the mean over all ordered quadruples of different images."""
    k, m, n = x @ x.T, y @ y.T, len(x)
    total, count = 0.0, 0
    for s, t, u, v in torch.cartesian_prod(*4 * [torch.arange(n)]).tolist():
        if len({s, t, u, v}) == 4:
            total += float(k[s, t] * (m[s, t] + m[u, v] - 2 * m[s, u]))
            count += 1
    return total / count


def test_vectors_of_the_specification() -> None:
    assert linear_cka(X, Y) == pytest.approx(0.931872, abs=1e-6)
    assert debiased_cka(X, Y) == pytest.approx(0.819781, abs=1e-6)


def test_one_column_ten_times_as_large() -> None:
    assert linear_cka(X * torch.tensor([1, 10]), Y) == pytest.approx(0.474879, abs=1e-6)


@pytest.mark.parametrize("widths", [(3, 2), (3, 9), (9, 9)])
def test_unbiased_against_all_quadruples(widths: tuple[int, int]) -> None:
    """By factors and by Gram matrices, shifted or not, and leaving out each image."""
    x, y = random_features(6, widths[0], 0) + 3, random_features(6, widths[1], 1)
    for part, pair in zip(hsics(x, y), ((x, y), (x, x), (y, y)), strict=True):
        assert float(part.value) == pytest.approx(slow_hsic(*pair), rel=1e-9)
        for left_out, value in enumerate(part.without.tolist()):
            kept = [image for image in range(6) if image != left_out]
            assert value == pytest.approx(slow_hsic(pair[0][kept], pair[1][kept]), rel=1e-9)


@BOTH
def test_what_changes_nothing(cka: object) -> None:
    x, y = random_features(40, 4, 0), random_features(40, 3, 1)
    rotation = torch.linalg.qr(random_features(4, 4, 2)).Q
    moved = 7 * x @ rotation + torch.arange(4)
    assert cka(x, x) == pytest.approx(1) and cka(x, moved) == pytest.approx(1)
    assert cka(moved, y) == pytest.approx(cka(x, y)) and cka(y, x) == pytest.approx(cka(x, y))
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert cka(x[order], y[order]) == pytest.approx(cka(x, y))
    stretched = x * torch.tensor([10.0, 1, 1, 1])
    assert abs(cka(stretched, y) - cka(x, y)) > 0.005 and cka(stretched, x) < 0.9


@BOTH
def test_both_forms_agree(cka: object) -> None:
    """More features than images: the same features, and zeros."""
    x, y = random_features(12, 5, 0), random_features(12, 4, 1)
    wide = torch.cat([x, x.new_zeros(12, 30)], 1)
    assert cka(wide, y) == pytest.approx(cka(x, y), rel=1e-9)


@pytest.mark.parametrize(("n", "floor"), [(32, 0.67), (128, 0.33), (512, 0.11), (2048, 0.03)])
def test_floors_of_independent_features(n: int, floor: float) -> None:
    x, y = random_features(n, 64, 0), random_features(n, 64, 1)
    assert linear_cka(x, y) == pytest.approx(floor, abs=0.01)
    assert abs(debiased_cka(x, y)) < 2 / n**0.5 / 8


def test_minibatches_average_unbiased_parts() -> None:
    x, y = random_features(60, 6, 0), random_features(60, 6, 1)
    y = y + x
    sums, parts = MinibatchCKA(), []
    for chosen in torch.arange(60).split(20):
        sums.add(x[chosen], y[chosen])
        parts.append([float(part.value) for part in hsics(x[chosen], y[chosen])])
    cross, own_x, own_y = torch.tensor(parts, dtype=torch.float64).mean(0).tolist()
    assert sums.value == pytest.approx(cross / (own_x * own_y) ** 0.5)
    assert sums.value == pytest.approx(debiased_cka(x, y), abs=0.05)


def test_images_have_the_values_mean_and_the_jackknifes_error() -> None:
    x = random_features(30, 3, 0)
    y = x + random_features(30, 3, 1)
    sums = MinibatchCKA()
    sums.add(x, y)
    values, left_out = sums.per_image(), []
    for image in range(30):
        kept = [other for other in range(30) if other != image]
        left_out.append(debiased_cka(x[kept], y[kept]))
    left_out = torch.tensor(left_out).double()
    assert float(values.mean()) == pytest.approx(sums.value)
    variance = 29 / 30 * (left_out - left_out.mean()).square().sum()
    assert float(values.var() / 30) == pytest.approx(float(variance), rel=1e-6)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(5, 2\) and \(4, 2\): both must have a row"):
        linear_cka(X, X[:4])
    with pytest.raises(ValueError, match="debiased CKA of 3 images: it needs at least 4"):
        debiased_cka(X[:3], X[:3])
