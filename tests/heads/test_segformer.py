"""The all-MLP decoder: against its formula, and what it does with levels and upsamplers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from heads.segformer import SegformerHead
from heads.upsamplers.interpolation import Interpolation
from heads.upsamplers.jbu import JBUStack

CHANNELS = {2: 3, 4: 5, 8: 6}


def inputs(grad: bool = False) -> tuple[torch.Tensor, dict[int, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 32, 48, generator=generator)
    pyramid = {
        s: torch.randn(2, c, 32 // s, 48 // s, generator=generator) for s, c in CHANNELS.items()
    }
    return image, {s: level.requires_grad_(grad) for s, level in pyramid.items()}


def test_is_the_formula() -> None:
    torch.manual_seed(0)
    head = SegformerHead(CHANNELS, 7, dim=4).eval()
    image, pyramid = inputs()
    fine, coarse = (
        torch.einsum("dc,bchw->bdhw", linear.weight[..., 0, 0], pyramid[s])
        + linear.bias[:, None, None]
        for s, linear in zip((4, 8), head.linear, strict=True)
    )
    coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    fused = torch.einsum(
        "dc,bchw->bdhw", head.fuse[0].weight[..., 0, 0], torch.cat([fine, coarse], 1)
    )
    fused = torch.relu(fused / (1 + 1e-5) ** 0.5)  # statistics of a fresh norm: mean 0, variance 1
    expected = torch.einsum("kd,bdhw->bkhw", head.classify[1].weight[..., 0, 0], fused)
    expected = expected + head.classify[1].bias[:, None, None]
    torch.testing.assert_close(head(image, pyramid), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (2, 7, 8, 12)


def test_levels_finer_than_its_stride_are_not_read() -> None:
    head = SegformerHead(CHANNELS, 7, dim=4)
    assert head.strides == (4, 8) and len(head.upsamplers) == 2
    assert SegformerHead({16: 5}, 7, dim=4).strides == (16,)
    with pytest.raises(
        ValueError, match=r"stride=4: there is no level at it or coarser, only \[1, 2\]"
    ):
        SegformerHead({1: 4, 2: 4}, 7)


def test_an_upsampler_of_a_level_is_used_and_trained() -> None:
    torch.manual_seed(0)
    image, pyramid = inputs(grad=True)
    head = SegformerHead(CHANNELS, 7, dim=4, upsamplers={8: JBUStack(4, factor=2)})
    head(image, pyramid).square().sum().backward()
    # Without an attack on them, all weights of a level take part: range, fix-up, temperature, σ,
    # mixing.
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.upsamplers.parameters())
    assert pyramid[2].grad is None and all(pyramid[s].grad.abs().sum() > 0 for s in (4, 8))
    nearest = SegformerHead(CHANNELS, 7, dim=4, upsamplers={8: Interpolation("nearest")}).eval()
    bilinear = SegformerHead(CHANNELS, 7, dim=4).eval()
    bilinear.load_state_dict(nearest.state_dict())
    assert not torch.equal(nearest(image, pyramid), bilinear(image, pyramid))
