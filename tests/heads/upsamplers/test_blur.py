"""The blur against loops over pixels, and what makes it a control."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.upsamplers.blur import Blur


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def slow(bilinear: Tensor, sigma: tuple[float, float]) -> Tensor:
    """A Gaussian mean of (H, W) pixel by pixel; σ of rows and columns in pixels."""
    out = torch.zeros_like(bilinear)
    height, width = bilinear.shape
    for y in range(height):
        for x in range(width):
            total = 0.0
            for i in range(height):
                for j in range(width):
                    weight = math.exp(
                        -((y - i) ** 2) / (2 * sigma[0] ** 2) - (x - j) ** 2 / (2 * sigma[1] ** 2)
                    )
                    out[y, x] += weight * bilinear[i, j]
                    total += weight
            out[y, x] /= total
    return out


@pytest.mark.parametrize("sigma", [0.5, 1.3])
@pytest.mark.parametrize("size", [(12, 15), (10, 9)])
def test_is_a_gaussian_of_bilinear(sigma: float, size: tuple[int, int]) -> None:
    features = torch.randn(1, 2, 4, 3).double()
    bilinear = F.interpolate(features, size=size, mode="bilinear", align_corners=False)[0]
    pixels = sigma * size[0] / 4, sigma * size[1] / 3
    expected = torch.stack([slow(channel, pixels) for channel in bilinear])
    up = MODELS.build(Blur(sigma).config)
    torch.testing.assert_close(up(torch.empty(1, 3, 0, 0), features, size)[0], expected)


def test_constants_stay_and_the_image_plays_no_part() -> None:
    up, constant = Blur(), torch.full((2, 3, 4, 5), 7.0)
    torch.testing.assert_close(
        up(torch.randn(2, 3, 8, 8), constant, (16, 20)), torch.full((2, 3, 16, 20), 7.0)
    )
    features = torch.randn(1, 3, 4, 5)
    one, other = (up(torch.randn(1, 3, 16, 20), features, (16, 20)) for _ in range(2))
    assert torch.equal(one, other)


def test_a_narrow_one_is_bilinear_and_the_width_is_what_it_says() -> None:
    features = torch.zeros(1, 1, 1, 9).double()
    features[..., 4] = 1.0
    narrow = Blur(1e-3)(features, features, (1, 9 * 16))
    torch.testing.assert_close(narrow, F.interpolate(features, size=(1, 9 * 16), mode="bilinear"))
    places = (torch.arange(9 * 16).double() + 0.5) / 16 - 4.5  # from the cell's centre, in cells
    weights = Blur()(features, features, (1, 9 * 16)).flatten()
    variance = float((weights * places.square()).sum() / weights.sum())
    assert variance == pytest.approx(1 / 6 + 0.25, rel=0.01)


def test_half_precision_keeps_its_type_and_nonsense_is_refused() -> None:
    features = torch.randn(1, 4, 4, 4)
    full = Blur()(features, features, (8, 8))
    half = Blur()(features, features.bfloat16(), (8, 8))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), full, atol=0.05, rtol=0.05)
    for sigma in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="must be positive, in cells; bilinear blurs nothing"):
            Blur(sigma)
