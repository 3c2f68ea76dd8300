"""Guided filter against loops over windows and least squares, and what it reproduces exactly."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.upsamplers.guided_filter import GuidedFilter


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def slow(image: Tensor, features: Tensor, size: tuple[int, int], radius: int, eps: float) -> Tensor:
    """One image: a ridge regression per window, averaged over the windows that hold a cell."""
    low, high = F.adaptive_avg_pool2d(image, features.shape[1:]), F.adaptive_avg_pool2d(image, size)
    height, width = features.shape[1:]
    fits = torch.zeros(
        4, *features.shape, dtype=image.dtype
    )  # three slopes and an offset of every window
    windows = {}
    for i in range(height):
        for j in range(width):
            window = (
                ...,
                slice(max(0, i - radius), i + radius + 1),
                slice(max(0, j - radius), j + radius + 1),
            )
            windows[i, j] = window
            colours, values = low[window].flatten(1), features[window].flatten(1)
            centred = colours - colours.mean(1, keepdim=True)
            covariance = centred @ centred.T / colours.shape[1] + eps * torch.eye(
                3, dtype=image.dtype
            )
            a = torch.linalg.solve(covariance, centred @ values.T / colours.shape[1])  # (3, C)
            fits[:3, :, i, j] = a
            fits[3, :, i, j] = values.mean(1) - colours.mean(1) @ a
    mean = torch.stack([fits[w].mean((2, 3)) for w in windows.values()], 2).view_as(fits)
    mean = F.interpolate(mean, size=size, mode="bilinear")
    return (mean[:3] * high[:, None]).sum(0) + mean[3]


@pytest.mark.parametrize("size", [(24, 30), (12, 15), (31, 17)])
def test_equals_a_regression_per_window(size: tuple[int, int]) -> None:
    image, features = torch.randn(2, 3, 24, 30).double(), torch.randn(2, 4, 6, 5).double()
    expected = torch.stack([slow(i, f, size, 1, 0.1) for i, f in zip(image, features, strict=True)])
    torch.testing.assert_close(GuidedFilter(1, 0.1)(image, features, size), expected)


def test_reproduces_what_is_affine_in_colour() -> None:
    image = torch.randn(1, 3, 24, 32).double()
    matrix, offset = torch.randn(5, 3).double(), torch.randn(5, 1, 1).double()
    affine = lambda x: torch.einsum("ci,bihw->bchw", matrix, x) + offset  # noqa: E731
    up = MODELS.build(GuidedFilter(2, 0.0).config)
    torch.testing.assert_close(up(image, affine(F.avg_pool2d(image, 4)), (24, 32)), affine(image))


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_an_image_of_one_colour_averages_and_constants_stay(eps: float) -> None:
    up, features = GuidedFilter(1, eps), torch.randn(1, 2, 6, 6)
    out = up(torch.full((1, 3, 12, 12), 0.5), features, (6, 6))
    box = lambda x: F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # noqa: E731
    torch.testing.assert_close(out, box(box(features)), atol=1e-5, rtol=1e-4)
    constant = up(torch.randn(1, 3, 12, 12), torch.full((1, 2, 6, 6), 3.0), (12, 12))
    torch.testing.assert_close(constant, torch.full((1, 2, 12, 12), 3.0), atol=1e-3, rtol=0)


def test_rounding_is_not_taken_for_colour() -> None:
    """Two flat colours and no ε: windows see one direction of colour at most, in float32 as in
    float64.
    """
    features = torch.randn(1, 2, 8, 8)
    image = torch.tensor([0.123, 0.456, -0.789]).view(1, 3, 1, 1).repeat(1, 1, 32, 32)
    image[..., 16:] = torch.tensor([0.3, 0.7, -1.1]).view(3, 1, 1)
    exact = GuidedFilter(1, 0.0)(image.double(), features.double(), (32, 32))
    found = GuidedFilter(1, 0.0)(image, features, (32, 32))
    torch.testing.assert_close(found.double(), exact, atol=1e-4, rtol=1e-4)


def test_a_read_out_can_be_folded() -> None:
    up, image, features = GuidedFilter(), torch.randn(2, 3, 24, 30), torch.randn(2, 5, 6, 5)
    weight = torch.randn(3, 5)
    late = torch.einsum("kc,bchw->bkhw", weight, up(image, features, (24, 30)))
    few = torch.einsum("kc,bchw->bkhw", weight, features)
    torch.testing.assert_close(up(image, few, (24, 30)), late, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast(dtype: torch.dtype) -> None:
    up, image, features = GuidedFilter(), torch.randn(1, 3, 24, 30), torch.randn(1, 5, 6, 5)
    exact = up(image.to(dtype).double(), features.to(dtype).double(), (24, 30))
    found = up(image.to(dtype), features.to(dtype), (24, 30))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), exact, atol=2e-2, rtol=1e-2)
    with torch.autocast("cpu", dtype=dtype):
        inside = up(image, features, (24, 30))
    torch.testing.assert_close(inside, up(image, features, (24, 30)))


@pytest.mark.parametrize("options", [dict(radius=0), dict(eps=-1.0)])
def test_errors_name_the_argument(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="radius=.* must be at least 1 and eps="):
        GuidedFilter(**options)


def test_one_image_for_each_map() -> None:
    with pytest.raises(ValueError, match="features of 1 images, but guidance of 2"):
        GuidedFilter().upsample(torch.rand(2, 3, 8, 8), torch.rand(1, 4, 4, 4), (8, 8))
