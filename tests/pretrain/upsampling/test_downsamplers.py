"""Downsamplers: worked examples, a loop over windows, and what dropout may touch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pretrain.upsampling.downsamplers import (
    AttentionDownsampler,
    SimpleDownsampler,
    gaussian_blur,
    placement,
)


def integers(rule: str, *sides: int) -> Tensor:
    """A map (H, W) of float64 from a rule in i (row) and j (column)."""
    i, j = torch.meshgrid(*(torch.arange(side) for side in sides), indexing="ij")
    return eval(rule).double()  # the rules stand below, in this file


def test_simple_worked_example() -> None:
    """An 8 × 8 map to 3 × 3 through a 4 × 4 kernel with one negative entry; expected values by
    NumPy in float64.
    """
    layer = SimpleDownsampler(1, kernel=4).double()
    theta = integers("1 + (i + 2 * j) % 3", 4, 4)
    theta[0, 0] *= -1
    layer.theta.data = theta
    actual = layer(integers("(3 * i + 5 * j) % 7", 8, 8)[None, None], (3, 3))
    expected = [
        [3.16129, 2.774194, 3.741935],
        [3.741935, 2.677419, 3.193548],
        [3.193548, 2.806452, 2.645161],
    ]
    torch.testing.assert_close(actual[0, 0], torch.tensor(expected).double(), rtol=0, atol=1e-6)


@pytest.fixture
def example() -> tuple[AttentionDownsampler, Tensor]:
    """A layer of two channels with given parameters, and its map (1, 2, 4, 4)."""
    layer = AttentionDownsampler(2, kernel=2, blur=False, input_drop=0.0).double()
    layer.saliency.weight.data = torch.tensor([1.0, -1.0]).double().view(1, 2, 1, 1)
    layer.saliency.bias.data = torch.tensor([0.5]).double()
    layer.scale.data = torch.tensor([[1, 2], [0.5, 1]]).double()
    layer.offset.data = torch.tensor([[0, 0.1], [0.2, 0.3]]).double()
    maps = torch.stack([integers("(i + 2 * j) % 5", 4, 4), integers("(2 * i + j) % 3", 4, 4)])[None]
    return layer, maps


def test_attention_worked_example(example: tuple[AttentionDownsampler, Tensor]) -> None:
    """Expected values by NumPy in float64."""
    layer, maps = example
    expected = [
        [[2.582058, 2.007045], [3.890746, 3.380609]],
        [[0.346773, 0.792585], [1.890231, 0.573281]],
    ]
    actual = layer.eval()(maps, (2, 2))[0]
    torch.testing.assert_close(actual, torch.tensor(expected).double(), rtol=0, atol=1e-6)


def test_dropped_window_pools_by_the_offsets_alone(
    example: tuple[AttentionDownsampler, Tensor],
) -> None:
    layer, maps = example
    layer.drop = 1.0  # above what the constructor allows: every window
    weights = torch.tensor([0.213838, 0.236328, 0.261183, 0.288651]).double()
    windows = layer.windows(maps, (2, 2)).flatten(4)
    torch.testing.assert_close(
        layer.train()(maps, (2, 2)), (windows * weights).sum(-1), rtol=0, atol=1e-5
    )


def test_attention_equals_a_loop_over_overlapping_windows() -> None:
    torch.manual_seed(0)
    layer = AttentionDownsampler(3, kernel=5, blur=False).eval()
    maps = torch.randn(2, 3, 14, 23)
    actual = layer(maps, (4, 5))
    (stride_y, top), (stride_x, left) = placement(14, 5, 4), placement(23, 5, 5)
    for image in range(2):
        for row in range(4):
            for column in range(5):
                y, x = top + stride_y * row, left + stride_x * column
                window = maps[image, :, y : y + 5, x : x + 5]
                saliency = (layer.saliency.weight[0] * window).sum(0) + layer.saliency.bias
                weights = (layer.scale * saliency + layer.offset).flatten().softmax(0).view(5, 5)
                torch.testing.assert_close(
                    actual[image, :, row, column], (weights * window).sum((1, 2))
                )


@pytest.mark.parametrize(
    ("side", "kernel", "cells", "expected"),
    [
        (224, 16, 14, (16, 0)),
        (224, 14, 16, (14, 0)),
        (224, 29, 14, (15, 0)),  # the three of FeatUp's models
        (96, 8, 12, (8, 0)),
        (100, 8, 12, (8, 2)),
        (9, 9, 1, (1, 0)),
        (10, 9, 1, (1, 0)),
    ],
)
def test_windows_lie_evenly(side: int, kernel: int, cells: int, expected: tuple[int, int]) -> None:
    assert placement(side, kernel, cells) == expected
    stride, first = expected
    assert 0 <= first and first + stride * (cells - 1) + kernel <= side


@pytest.mark.parametrize("kind", [SimpleDownsampler, AttentionDownsampler])
def test_constant_stays_constant_at_any_aspect_ratio(kind: type) -> None:
    maps = torch.tensor([2.0, -3.0]).view(1, 2, 1, 1).expand(2, 2, 24, 40)
    actual = kind(2, kernel=8).train()(maps, (3, 5))
    torch.testing.assert_close(actual, maps[:, :, :3, :5])


def test_dropout_only_in_training() -> None:
    torch.manual_seed(0)
    layer, maps = AttentionDownsampler(4, kernel=4), torch.randn(1, 4, 16, 16)
    evaluated = [layer.eval()(maps, (4, 4)) for _ in range(2)]
    assert torch.equal(*evaluated)
    assert not torch.equal(layer.train()(maps, (4, 4)), layer(maps, (4, 4)))


def test_building_and_evaluating_draws_nothing_more_than_the_parameters() -> None:
    layer = AttentionDownsampler(4, kernel=4).eval()
    before = torch.get_rng_state()
    layer(torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)), (2, 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_blur_is_the_gaussian() -> None:
    """Its response to a point is the outer product of the taps, which sum to 1."""
    point = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    point[0, 0, 4, 4] = 1
    taps = torch.exp(-((torch.arange(5) - 2.0) ** 2) / 2).double()
    taps /= taps.sum()
    actual = gaussian_blur(point)
    torch.testing.assert_close(actual[0, 0, 2:7, 2:7], torch.outer(taps, taps))
    assert float(actual.sum()) == pytest.approx(1)


def test_gradients_in_double_precision() -> None:
    torch.manual_seed(0)
    maps = torch.randn(1, 2, 6, 7, dtype=torch.float64, requires_grad=True)
    for layer in (SimpleDownsampler(2, kernel=3), AttentionDownsampler(2, kernel=3).eval()):
        layer = layer.double()
        assert torch.autograd.gradcheck(lambda m, p=layer: p(m, (2, 3)), (maps,))


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="kernel=0: must be at least 1"):
        SimpleDownsampler(3, kernel=0)
    with pytest.raises(ValueError, match=r"drop=1.0: must be a share in \[0, 1\)"):
        AttentionDownsampler(3, kernel=2, drop=1.0)
    with pytest.raises(ValueError, match="a side of 6 pixels: too short for 4 windows of kernel=5"):
        SimpleDownsampler(1, kernel=5)(torch.zeros(1, 1, 6, 6), (4, 4))
