"""Interpolation: torch's modes under one call, and what linearity promises."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS

from heads.upsamplers.interpolation import Interpolation

IMAGE = torch.zeros(2, 3, 20, 30)


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(20, 30), (7, 11), (4, 6)])
def test_reads_like_torch_and_keeps_constants(mode: str, size: tuple[int, int]) -> None:
    up = MODELS.build(Interpolation(mode).config)
    features = torch.randn(2, 5, 4, 6)
    torch_mode = "nearest-exact" if mode == "nearest" else mode
    expected = F.interpolate(features, size=size, mode=torch_mode)
    torch.testing.assert_close(up(IMAGE, features, size), expected)
    torch.testing.assert_close(
        up(IMAGE, torch.full_like(features, 3.0), size), torch.full((2, 5, *size), 3.0)
    )


def test_bicubic_vector() -> None:
    """×2 of [0, 1, 0, 0], Keys' kernel with a = −0.75; computed in numpy float64."""
    row = torch.tensor([0.0, 1, 0, 0], dtype=torch.float64).expand(1, 1, 4, 4)
    expected = [-0.105469, 0.261719, 0.878906, 0.878906, 0.261719, -0.105469, -0.035156, 0]
    found = Interpolation("bicubic")(IMAGE[:1], row, (8, 8))[0, 0, 0]
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), atol=5e-7, rtol=0
    )


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_a_read_out_can_be_folded(mode: str) -> None:
    up, features = Interpolation(mode), torch.randn(2, 5, 4, 6)
    weight, bias = torch.randn(3, 5), torch.randn(3)
    late = (
        torch.einsum("kc,bchw->bkhw", weight, up(IMAGE, features, (20, 30))) + bias[:, None, None]
    )
    folded, rest = up.fold(weight, bias)
    early = up.spread(
        up.filters(IMAGE, (4, 6), (20, 30)),
        torch.einsum("kc,bchw->bkhw", folded, features),
        (20, 30),
    )
    torch.testing.assert_close(early + rest[:, None, None], late)


def test_unknown_mode_is_named() -> None:
    with pytest.raises(ValueError, match="mode='area' must be one of nearest, bilinear, bicubic"):
        Interpolation("area")
