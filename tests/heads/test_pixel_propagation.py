"""Pixel propagation: vector 6 of the PixPro specification and a loop over cells."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from heads.pixel_propagation import PixelPropagation


def cells(*vectors: tuple[float, float]) -> torch.Tensor:
    """Two-channel map of one row, (1, 2, 1, N) float64."""
    return torch.tensor(vectors, dtype=torch.float64).T[None, :, None]


def propagate(x: torch.Tensor, **options: object) -> torch.Tensor:
    return PixelPropagation(x.shape[1], layers=0, **options)(x)[0, :, 0].T


def test_two_cells() -> None:
    y = propagate(cells((1, 0), (0.6, 0.8)))
    assert y.flatten().tolist() == pytest.approx([1.216, 0.288, 0.96, 0.80], abs=1e-12)
    unit = F.normalize(y, dim=1).flatten().tolist()
    assert unit == pytest.approx([0.973080, 0.230466, 0.768221, 0.640184], abs=5e-7)


@pytest.mark.parametrize("gamma, weight", [(0.5, 0.774597), (1, 0.6), (2, 0.36), (4, 0.1296)])
def test_weight_of_the_other_cell_by_gamma(gamma: float, weight: float) -> None:
    y = propagate(cells((1, 0), (0.6, 0.8)), gamma=gamma)
    assert y[0, 1].item() / 0.8 == pytest.approx(
        weight, abs=1e-6
    )  # only the second cell has a second channel


def test_scale_of_a_cell_matters_only_without_value_normalisation() -> None:
    long = cells((1, 0), (6, 8))
    assert torch.allclose(propagate(long), propagate(cells((1, 0), (0.6, 0.8))))
    y = F.normalize(propagate(long, normalise_values=False), dim=1)
    assert y.flatten().tolist() == pytest.approx([0.739093, 0.673604, 0.622306, 0.782774], abs=5e-7)


def test_equal_cells_keep_their_direction_and_orthogonal_cells_do_not_mix() -> None:
    y = propagate(cells((3, 4), (3, 4), (3, 4)))
    assert torch.allclose(
        F.normalize(y, dim=1), torch.tensor([0.6, 0.8], dtype=torch.float64).expand(3, 2)
    )
    assert torch.allclose(propagate(cells((1, 0), (0, 1))), torch.eye(2, dtype=torch.float64))
    assert torch.allclose(
        propagate(cells((1, 0), (-0.6, 0.8)))[0], torch.tensor([1.0, 0], dtype=torch.float64)
    )


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_equals_a_loop_over_cells(layers: int) -> None:
    torch.manual_seed(layers)
    module = PixelPropagation(5, 1.5, layers=layers).double().eval()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    values = module.transform(x).flatten(2)
    expected = torch.zeros(2, 5, 12, dtype=torch.float64)
    flat = x.flatten(2)
    for b in range(2):
        for i in range(12):
            for j in range(12):
                similarity = (
                    F.cosine_similarity(flat[b, :, i], flat[b, :, j], dim=0).clamp_min(0) ** 1.5
                )
                expected[b, :, i] += similarity * values[b, :, j] / values[b, :, j].norm()
    assert torch.allclose(module(x).flatten(2), expected)


def test_gradient_is_finite_for_small_gamma_and_orthogonal_cells() -> None:
    x = cells((1, 0), (0, 1)).requires_grad_()
    PixelPropagation(2, 0.5, layers=0)(x).sum().backward()
    assert x.grad.isfinite().all()


def test_half_precision_is_computed_in_float32() -> None:
    x = torch.randn(1, 4, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        y = PixelPropagation(4, layers=0)(x.bfloat16())
    assert y.dtype == torch.float32
    assert torch.allclose(y, PixelPropagation(4, layers=0)(x.bfloat16().float()))


@pytest.mark.parametrize(
    "options, word", [(dict(layers=3), "layers=3"), (dict(gamma=0.0), "gamma=0.0")]
)
def test_illegal_options_are_named(options: dict, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        PixelPropagation(4, **options)
