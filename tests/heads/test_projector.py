"""Projectors: published sizes and layer order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from heads.projector import pixel_mlp, vector_mlp


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
