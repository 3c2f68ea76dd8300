"""Projectors: published sizes and layer order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from heads.projector import pixel_mlp, start_linear_layers, vector_mlp


@pytest.mark.parametrize("hidden, count", [(4096, 9_449_728), (2048, 4_724_992)])
def test_pixpro_projector_has_the_published_number_of_parameters(hidden: int, count: int) -> None:
    with torch.device("meta"):
        module = pixel_mlp(2048, hidden, 256)
    assert sum(p.numel() for p in module.parameters()) == count


def test_pixel_mlp_treats_every_cell_alike() -> None:
    module = pixel_mlp(3, 8, 4).eval()
    x = torch.randn(2, 3, 5, 6)
    assert torch.allclose(module(x)[:, :, 2, 3], module(x[:, :, 2:3, 3:4])[:, :, 0, 0], atol=1e-6)


def test_vector_mlp_layers() -> None:
    kinds = [type(m) for m in vector_mlp(8, 16, 4, layers=3, last_norm=True)]
    unit = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == unit * 2 + unit[:2]
    assert [type(m) for m in vector_mlp(8, 16, 4, layers=1)] == [nn.Linear]
    with pytest.raises(ValueError, match="layers=0"):
        vector_mlp(8, 16, 4, layers=0)


def test_the_last_layer_without_shift_or_bias() -> None:
    module = vector_mlp(8, 16, 4, last_norm=True, last_shift=False)
    assert [m.bias.requires_grad for m in module if isinstance(m, nn.BatchNorm1d)] == [True, False]
    assert torch.equal(module[-1].bias, torch.zeros(4)) and module[-1].weight.requires_grad
    module(torch.randn(5, 8)).square().sum().backward()
    assert module[-1].bias.grad is None and module[-1].weight.grad is not None
    assert [
        m.bias is None for m in vector_mlp(8, 16, 4, last_bias=False) if isinstance(m, nn.Linear)
    ] == [True, True]
    assert vector_mlp(8, 16, 4)[-1].bias is not None


@pytest.mark.parametrize("start, deviation", [("normal", 0.01), ("kaiming", (2 / 256) ** 0.5)])
def test_linear_layers_start_as_the_authors_do(start: str, deviation: float) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(256, 200), nn.ReLU(), nn.Linear(256, 200, bias=False), nn.Conv2d(256, 200, 1)
    )
    convolution = module[3].weight.detach().clone()
    start_linear_layers(module, start)
    for layer in (module[0], module[2]):
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.02)
        assert layer.weight.mean().item() == pytest.approx(0, abs=deviation / 50)
    assert torch.equal(module[0].bias, torch.zeros(200))
    assert torch.equal(module[3].weight, convolution)


def test_linear_layers_stay_by_default_and_an_unknown_start_is_named() -> None:
    layer = nn.Linear(4, 4)
    before = [p.detach().clone() for p in layer.parameters()]
    start_linear_layers(layer, "torch")
    assert all(torch.equal(p, q) for p, q in zip(layer.parameters(), before, strict=True))
    with pytest.raises(
        ValueError, match="head_start='xavier': must be one of 'torch', 'normal', 'kaiming'"
    ):
        start_linear_layers(layer, "xavier")
