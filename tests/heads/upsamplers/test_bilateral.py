"""Classical joint bilateral upsampling against loops over pixels, and its limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.upsamplers.bilateral import JointBilateral


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def slow(up: JointBilateral, image: Tensor, features: Tensor, factor: int) -> Tensor:
    """One image, pixel by pixel; output factor · grid."""
    channels, height, width = features.shape
    high = F.adaptive_avg_pool2d(image, (height * factor, width * factor))
    low = F.adaptive_avg_pool2d(image, (height, width))
    out = torch.zeros(channels, height * factor, width * factor, dtype=image.dtype)
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            total = 0.0
            for i in range(y // factor - up.radius, y // factor + up.radius + 1):
                for j in range(x // factor - up.radius, x // factor + up.radius + 1):
                    if not (0 <= i < height and 0 <= j < width):
                        continue
                    space = ((y + 0.5) / factor - 0.5 - i) ** 2 + (
                        (x + 0.5) / factor - 0.5 - j
                    ) ** 2
                    colour = (high[:, y, x] - low[:, i, j]).square().sum().item()
                    weight = math.exp(
                        -space / (2 * up.sigma_space**2) - colour / (2 * up.sigma_range**2)
                    )
                    out[:, y, x] += weight * features[:, i, j]
                    total += weight
            out[:, y, x] /= total
    return out


@pytest.mark.parametrize("factor", [1, 3])
def test_equals_the_sum_over_neighbours(factor: int) -> None:
    up = JointBilateral(2, 0.8, 1.5)
    image, features = torch.randn(2, 3, 16, 12).double(), torch.randn(2, 4, 4, 3).double()
    size = (4 * factor, 3 * factor)
    expected = torch.stack([slow(up, i, f, factor) for i, f in zip(image, features, strict=True)])
    torch.testing.assert_close(up(image, features, size), expected)


def test_other_sizes_are_resized_from_the_next_integer_factor() -> None:
    up = MODELS.build(JointBilateral().config)
    image, features = torch.randn(1, 3, 20, 20), torch.randn(1, 4, 4, 4)
    resized = F.interpolate(up(image, features, (12, 12)), size=(9, 11), mode="bilinear")
    torch.testing.assert_close(up(image, features, (9, 11)), resized)


def test_weights_sum_to_one_and_do_not_leave_the_map() -> None:
    up, constant = JointBilateral(), torch.full((1, 2, 4, 5), 7.0)
    image = torch.randn(1, 3, 16, 20)
    (weights,) = up.filters(image, (4, 5), (16, 20))
    assert weights.shape == (1, 16, 20, 5, 5)
    torch.testing.assert_close(weights.sum((3, 4)), torch.ones(1, 16, 20))
    assert weights[0, 0, 0, :2].eq(0).all() and weights[0, 0, 0, :, :2].eq(0).all()
    torch.testing.assert_close(up(image, constant, (16, 20)), torch.full((1, 2, 16, 20), 7.0))


def test_colours_far_apart_do_not_mix() -> None:
    """Two halves, one dark and one bright: with a narrow range kernel the border between features
    stays sharp.
    """
    image, features = torch.full((1, 3, 16, 16), -2.0), torch.zeros(1, 1, 4, 4)
    image[..., 8:], features[..., 2:] = 2.0, 1.0
    out = JointBilateral(2, 1.0, 0.1)(image, features, (16, 16))
    torch.testing.assert_close(out, (image[:, :1] > 0).float())


def test_a_read_out_can_be_folded() -> None:
    up, image, features = JointBilateral(), torch.randn(2, 3, 16, 20), torch.randn(2, 5, 4, 5)
    weight = torch.randn(3, 5)
    late = torch.einsum("kc,bchw->bkhw", weight, up(image, features, (16, 20)))
    few = torch.einsum("kc,bchw->bkhw", weight, features)
    torch.testing.assert_close(up.spread(up.filters(image, (4, 5), (16, 20)), few, (16, 20)), late)


@pytest.mark.parametrize("dtype, tolerance", [(torch.float16, 2e-3), (torch.bfloat16, 1e-2)])
def test_half_precision_and_autocast(dtype: torch.dtype, tolerance: float) -> None:
    up, image, features = (
        JointBilateral(),
        torch.randn(1, 3, 16, 20).to(dtype),
        torch.randn(1, 5, 4, 5).to(dtype),
    )
    exact = up(image.double(), features.double(), (16, 20))
    found = up(image, features, (16, 20))
    assert found.dtype == dtype
    assert (found.double() - exact).abs().max() <= tolerance * exact.abs().max()
    with torch.autocast("cpu", dtype=dtype):
        inside = up(image.float(), features.float(), (16, 20))
    torch.testing.assert_close(inside.double(), exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [dict(radius=0), dict(sigma_space=0.0), dict(sigma_range=-1.0)])
def test_errors_name_the_argument(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}={next(iter(options.values()))}"):
        JointBilateral(**options)
