"""iBOT and iBOT++: numbers of the official codes, chunks, processes, and what collapses."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.geometry import identity
from pretrain.masking import Masking
from pretrain.objectives.ibot import IBOT, masked_mean
from pretrain.objectives.parts.base import target_copy
from pretrain.objectives.parts.sharpening import Centre, cross_entropies
from pretrain.structures import Batch, Views

MASKS = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1], [0, 0, 0, 1]], dtype=torch.bool)


def wave_at(phase: float, *shape: int) -> Tensor:
    t = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return torch.sin(0.3 * t**2 + phase).view(shape)


def losses(student: Tensor) -> Tensor:
    """Cross-entropies (4, 4) of two images' two views of 2 × 2 cells, K = 8."""
    centre = Centre(8).double()
    centre.centre = 0.1 * wave_at(2, 8)
    q = centre(wave_at(1.5, 4, 4, 8), 0.07).flatten(0, 1)
    return cross_entropies(student.flatten(0, 1), q, 0.1).view(4, 4)


def test_numbers_of_ibots_and_dinov2s_codes() -> None:
    student = wave_at(1, 4, 4, 8).requires_grad_()
    cells = losses(student)
    expected = [0.874823, 0.135163, 1.214117, 2.470537]
    assert cells[0].tolist() == pytest.approx(expected, abs=6e-7)
    for options, value in (
        (dict(), 1.383501),
        (dict(count_empty=False), 1.844667),
        (dict(visible_weight=1.0), 2.535114),
        (dict(visible_weight=0.5), 1.959308),
    ):
        assert masked_mean(cells, MASKS, **options).item() == pytest.approx(value, abs=6e-7)
    assert cells[MASKS].mean().item() == pytest.approx(2.017154, abs=6e-7)  # pooled over cells
    nothing = torch.zeros_like(MASKS)
    plain = masked_mean(cells, nothing, visible_weight=1.0)
    assert plain.item() == pytest.approx(1.566289, abs=6e-7)
    masked_mean(cells, MASKS).backward()
    assert not student.grad[~MASKS].any()
    expected = [-0.172180, 0.103758, 0, -0.000001, 0.093945, 0, 0.000035, -0.025558]
    assert student.grad[0, 0].tolist() == pytest.approx(expected, abs=6e-7)


def setting(**options: object) -> tuple[IBOT, TimmBackbone, Batch]:
    torch.manual_seed(0)
    vit = dict(patch_size=8, img_size=32, embed_dim=24, depth=2, num_heads=2)
    backbone = TimmBackbone("vit_tiny_patch16_224", **vit).double()
    backbone.add_mask_token()
    objective = IBOT(
        backbone.info, prototypes=16, hidden=16, bottleneck=8, hold_epochs=0, **options
    )
    views = Views(torch.randn(4, 2, 3, 32, 32).double(), identity().expand(4, 2, 2, 3))
    return objective.double(), backbone.double(), Batch({"global": views}, None, torch.arange(4))


class FixedMasks(Masking):
    """Masks of the whole batch, of which each process takes its images."""

    def draw(self, images: int, views: int, *, grid: tuple[int, int]) -> Tensor:
        torch.manual_seed(5)
        whole = Masking().draw(4, views, grid=grid)
        first = 0 if images == 4 else 2 * torch.distributed.get_rank()
        return whole[first : first + images]


def step(options: dict, part: slice) -> dict[str, Tensor]:
    """Loss, gradients, centre of a step on some images of the batch."""
    objective, backbone, batch = setting(**options)
    views = Views(batch.views["global"].images[part], batch.views["global"].geometry[part])
    batch = Batch({"global": views}, None, batch.ids[part])
    encode = BatchEncodings(batch, backbone, target_copy(backbone), masking=FixedMasks())
    terms = objective(batch, encode)
    terms["loss"].backward()
    objective.update_memory(batch, encode)
    result = {"loss": terms["loss"].detach()}
    for name, module in (("head", objective.head), ("backbone", backbone)):
        for key, parameter in module.named_parameters():
            result[f"{name}.{key}"] = parameter.grad
    if objective.sharpening.centre is not None:
        result["centre"] = objective.sharpening.centre.centre
    return result


@pytest.mark.parametrize("visible_weight", [0.0, 1.0])
def test_chunks_change_nothing(visible_weight: float) -> None:
    whole = step(dict(chunk=None, visible_weight=visible_weight), slice(0, 4))
    pieces = step(dict(chunk=3, visible_weight=visible_weight), slice(0, 4))
    for name, value in whole.items():
        assert torch.allclose(value, pieces[name], atol=1e-12), name


OPTIONS = {
    "iBOT, centring": dict(sharpening=dict(how="centring")),
    "iBOT++, Sinkhorn": dict(visible_weight=1.0),
    "masked views only": dict(count_empty=False),
}


def of_rank(rank: int) -> dict[str, dict[str, Tensor]]:
    part, results = slice(2 * rank, 2 * rank + 2), {}
    for name, options in OPTIONS.items():
        results[name] = step(options, part)
        for key, value in results[name].items():
            if key != "centre":
                torch.distributed.all_reduce(value)
                value /= 2
    return results


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    first, second = in_two_processes(of_rank)
    for name, options in OPTIONS.items():
        whole = step(options, slice(0, 4))
        for key, value in whole.items():
            assert torch.allclose(first[name][key], value, atol=1e-10), (name, key)
            assert torch.equal(first[name][key], second[name][key])


def test_bounds_of_a_head_that_tells_nothing_apart() -> None:
    """A collapsed online head costs ln K for hidden and for visible cells."""
    objective, backbone, batch = setting(visible_weight=1.0)
    nn.init.ones_(objective.head.prototypes)
    encode = BatchEncodings(batch, backbone, target_copy(backbone), masking=Masking(share=1.0))
    terms = objective(batch, encode)
    bounds = objective.bounds(batch, terms)
    assert bounds.collapsed == pytest.approx(2 * math.log(16))
    assert terms["loss"].item() == pytest.approx(bounds.collapsed)
    assert 0 < bounds.best < bounds.collapsed
    assert terms["masked"] == 1 and terms["spread"] <= math.log(16) + 1e-9


def test_no_hidden_cell_at_all_keeps_every_gradient_finite() -> None:
    objective, backbone, batch = setting()
    encode = BatchEncodings(batch, backbone, target_copy(backbone), masking=Masking(share=0.0))
    terms = objective(batch, encode)
    terms["loss"].backward()
    assert terms["loss"].item() == 0
    assert all(not p.grad.any() for p in objective.head.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(temperature=0.0), "temperature=0.0: must be positive"),
        (dict(chunk=0), "chunk=0: must be None or at least 1 row"),
        (dict(sharpening=dict(how="none")), "sharpening.how='none' is not one of sinkhorn"),
    ],
)
def test_mistakes_are_named(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setting(**options)
