"""Folding a read-out into an upsampler changes neither outputs nor gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.frozen.probe.readout import Folded, OwnGrid, Unfolded, read_out
from heads.upsamplers.base import LinearUpsampler, Upsampler
from heads.upsamplers.bilateral import JointBilateral
from heads.upsamplers.blur import Blur
from heads.upsamplers.guided_filter import GuidedFilter
from heads.upsamplers.interpolation import Interpolation
from heads.upsamplers.jbu import JBUStack
from heads.upsamplers.neighbourhood import NeighbourhoodUpsampler

LINEAR: dict[str, Callable[[], LinearUpsampler]] = {
    "nearest": lambda: Interpolation("nearest"),
    "bilinear": lambda: Interpolation("bilinear"),
    "blur": Blur,
    "guided": GuidedFilter,
    "bilateral": JointBilateral,
    "jbu": lambda: JBUStack(5, 4),
    "neighbourhood": lambda: NeighbourhoodUpsampler(dim=8, heads=2, window=3, depth=1),
}


@pytest.fixture
def scene() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Image (2, 3, 24, 32), features (2, 5, 6, 8), P (3, 5), β (3,)."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(*s, generator=generator) for s in ((2, 3, 24, 32), (2, 5, 6, 8), (3, 5), (3,))
    )


def frozen(make: Callable[[], Upsampler]) -> Upsampler:
    torch.manual_seed(0)
    return make().eval().requires_grad_(False)


def outputs_and_gradients(
    readout: OwnGrid, scene: tuple[Tensor, Tensor, Tensor, Tensor], upper: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    image, features, weight, bias = (t.clone() for t in scene)
    weight.requires_grad_(), bias.requires_grad_()
    folded_weight, folded_bias = readout.fold(weight, bias)
    prepared = readout.prepare(image, features)
    made = readout.apply(features, prepared, weight=folded_weight, bias=folded_bias)
    made.backward(upper)
    return made.detach(), weight.grad, bias.grad


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("size", [(24, 32), (12, 16)])
def test_folding_changes_nothing(
    name: str, size: tuple[int, int], scene: tuple[Tensor, ...]
) -> None:
    upsampler = frozen(LINEAR[name])
    upper = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    folded = outputs_and_gradients(Folded(upsampler, size), scene, upper)
    plain = outputs_and_gradients(Unfolded(upsampler, size), scene, upper)
    for one, other in zip(folded, plain, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def test_the_cheapest_exact_way_is_taken() -> None:
    class Crooked(Upsampler):
        """Not linear."""

    assert read_out(None, (4, 4)).upsampler.config == dict(type="Interpolation", mode="bilinear")
    assert isinstance(read_out(frozen(lambda: JBUStack(5, 4)), (4, 4)), Folded)
    assert isinstance(read_out(frozen(lambda: JBUStack(5, 4, norm=True)), (4, 4)), Unfolded)
    assert isinstance(read_out(Crooked(), (4, 4)), Unfolded)


def test_own_grid_is_a_convolution(scene: tuple[Tensor, ...]) -> None:
    image, features, weight, bias = scene
    made = OwnGrid().apply(features, (), weight=weight, bias=bias)
    assert OwnGrid().prepare(image, features) == ()
    expected = torch.einsum("kc,bchw->bkhw", weight, features) + bias[:, None, None]
    torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)
