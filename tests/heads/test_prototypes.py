"""Prototype head: cosines, its size, and prototypes that are held."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from heads.prototypes import PrototypeHead, gelu_mlp


def test_logits_are_cosines_of_any_features() -> None:
    torch.manual_seed(0)
    head = PrototypeHead(6, 5, hidden=8, bottleneck=4).double()
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    logits = head(x)
    expected = F.cosine_similarity(head.mlp(x)[..., None, :], head.prototypes, dim=-1)
    assert torch.allclose(logits, expected) and logits.shape == (2, 3, 5)
    with torch.no_grad():
        head.prototypes.mul_(3)
    assert torch.allclose(head(x), logits)


def test_size_at_vit_s() -> None:
    with torch.device("meta"):
        head = PrototypeHead(384, 65_536)
    sizes = sum(p.numel() for p in head.mlp.parameters()), head.prototypes.numel()
    assert sizes == (5_509_376, 16_777_216)


def test_held_prototypes_get_a_gradient_of_zero_and_the_rest_its_own() -> None:
    torch.manual_seed(0)
    head, x = PrototypeHead(6, 5, hidden=8, bottleneck=4), torch.randn(3, 6)
    gradients = []
    for hold in (False, True):
        head.zero_grad()
        head(x, hold=hold).square().sum().backward()
        gradients.append([p.grad.clone() for p in head.mlp.parameters()])
        assert (head.prototypes.grad.abs().sum() == 0) == hold
    assert all(torch.allclose(one, other) for one, other in zip(*gradients, strict=True))
    assert torch.equal(head(x), head(x, hold=True))


def test_weights_begin_small_and_biases_at_zero() -> None:
    mlp = gelu_mlp(64, 128, 32)
    assert len(mlp) == 5 and all(not m.bias.any() for m in mlp[::2])
    assert mlp[0].weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="prototypes=1: a head tells at least 2 apart"):
        PrototypeHead(6, 1)
    with pytest.raises(ValueError, match="layers=0: an MLP needs at least 1 layer"):
        gelu_mlp(6, 8, 4, layers=0)
