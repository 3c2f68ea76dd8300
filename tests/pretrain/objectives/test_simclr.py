"""NT-Xent: the specification's vectors, closed forms and safety at small temperatures."""

from __future__ import annotations

import math

import pytest
import torch

from pretrain.objectives.simclr import nt_xent

# Image k: view 0, view 1, and the third view of the V = 3 vectors (SupCon specification, section
# 5).
VECTORS = torch.tensor(
    [
        [(1, 0, 0), (4, 3, 0), (2, 0, 1)],
        [(0, 1, 0), (0, 4, 3), (0, 1, 2)],
        [(3, 4, 0), (2, 1, 2), (1, 2, 2)],
        [(0, 0, 1), (2, 2, 1), (1, 0, 3)],
    ],
    dtype=torch.float64,
)


@pytest.mark.parametrize(
    "views, temperature, value", [(2, 0.1, 2.717342), (2, 0.5, 1.861645), (3, 0.1, 2.915728)]
)
def test_vectors(views: int, temperature: float, value: float) -> None:
    assert nt_xent(VECTORS[:, :views], temperature).item() == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_equal_features_give_the_log_of_the_others(temperature: float) -> None:
    assert nt_xent(torch.ones(8, 2, 4), temperature).item() == pytest.approx(math.log(15), abs=1e-5)


def test_order_of_images_and_views_and_rotation_change_nothing() -> None:
    torch.manual_seed(0)
    z = torch.randn(6, 2, 4, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    for other in (z[torch.randperm(6)], z.flip(1), z @ rotation, 5 * z):
        assert torch.allclose(nt_xent(other, 0.2), nt_xent(z, 0.2))


def test_small_temperature_does_not_underflow() -> None:
    """Three directions 120° apart at τ = 0.01: with the self-similarity in the maximum, float32
    gives log 0.
    """
    angles = torch.tensor([0, 2 * math.pi / 3, 4 * math.pi / 3, 0.1])
    z = torch.stack([angles.cos(), angles.sin()], 1).view(2, 2, 2).requires_grad_()
    loss = nt_xent(z, 0.01)
    loss.backward()
    assert loss.isfinite() and z.grad.isfinite().all()
    assert torch.allclose(loss.double(), nt_xent(z.detach().double(), 0.01), rtol=1e-5)


def test_gradient_by_finite_differences() -> None:
    torch.manual_seed(1)
    z = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: nt_xent(t, 0.3), (z,), rtol=1e-6)
