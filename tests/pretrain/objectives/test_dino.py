"""DINO: numbers of the official code, its views, processes, and what collapses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.encodings import BatchEncodings
from pretrain.geometry import identity
from pretrain.masking import Masking
from pretrain.objectives.dino import DINO, dino_loss
from pretrain.objectives.parts.base import target_copy
from pretrain.objectives.parts.sharpening import Centre, sinkhorn
from pretrain.structures import Batch, Views


def test_numbers_of_the_official_code(wave: Callable[..., Tensor]) -> None:
    """K = 8, three images, two large and two small views."""
    student, teacher = wave(0, 12, 8).view(4, 3, 8).requires_grad_(), wave(0.5, 6, 8)
    centre = Centre(8).double()
    centre.centre = 0.1 * wave(1, 8)
    loss = dino_loss(student, centre(teacher, 0.04).view(2, 3, 8), 0.1)
    assert loss.item() == pytest.approx(8.350648, abs=6e-7)
    loss.backward()
    row = [0.000383, 0.219880, 0.001432, 0, -0.316290, -0.000001, 0.093977, 0.000618]
    assert student.grad[0, 0].tolist() == pytest.approx(row, abs=6e-7)
    even = dino_loss(student, sinkhorn(teacher, 0.07).view(2, 3, 8), 0.1)
    assert even.item() == pytest.approx(9.064601, abs=6e-7)
    uniform = torch.full((2, 3, 8), 1 / 8)
    assert dino_loss(torch.ones(4, 3, 8), uniform, 0.1).item() == pytest.approx(math.log(8))


def test_against_loops_over_pairs(wave: Callable[..., Tensor]) -> None:
    logits, q = wave(0.2, 5, 2, 6), wave(0.8, 2, 2, 6).softmax(2)
    terms = []
    for large in range(2):
        for view in range(5):
            if view != large:
                logs = (logits[view] / 0.3).log_softmax(1)
                terms.append(-(q[large] * logs).sum(1).mean())
    expected = torch.stack(terms).mean().item()
    assert dino_loss(logits, q, 0.3).item() == pytest.approx(expected)


def setting(images: slice = slice(0, 4), local: int = 2, **options: Any) -> tuple:
    torch.manual_seed(0)
    vit = dict(patch_size=8, img_size=32, embed_dim=24, depth=2, num_heads=2)
    backbone = TimmBackbone("vit_tiny_patch16_224", **vit)
    backbone.add_mask_token()
    small = dict(prototypes=16, hidden=16, bottleneck=8, hold_epochs=0)
    objective = DINO(backbone.info, **small, **options).double()
    views = {}
    for name, count, side in (("global", 2, 32), ("local", local, 16)):
        if count:
            pixels = torch.randn(4, count, 3, side, side).double()[images]
            views[name] = Views(pixels, identity().expand(len(pixels), count, 2, 3))
    batch = Batch(views, None, torch.arange(4)[images])
    backbone = backbone.double()
    encode = BatchEncodings(batch, backbone, target_copy(backbone), masking=Masking(share=1.0))
    return objective, backbone, batch, encode


def test_local_views_and_hidden_cells_take_part() -> None:
    losses = []
    for options in (dict(), dict(local=0), dict(masked=True)):
        objective, _, batch, encode = setting(**options)
        losses.append(objective(batch, encode)["loss"].item())
    assert len(set(losses)) == 3
    plain, masked = DINO.needs, setting(masked=True)[0].needs
    assert plain.online == masked.masked == ("global",) and masked.online == ()


def step(images: slice, options: dict[str, Any]) -> dict[str, Tensor]:
    objective, backbone, batch, encode = setting(images, **options)
    terms = objective(batch, encode)
    terms["loss"].backward()
    objective.update_memory(batch, encode)
    result = {"loss": terms["loss"].detach()}
    for name, module in (("head", objective.head), ("backbone", backbone)):
        for key, parameter in module.named_parameters():
            if parameter.grad is not None:
                result[f"{name}.{key}"] = parameter.grad
    if objective.sharpening.centre is not None:
        result["centre"] = objective.sharpening.centre.centre
    return result


OPTIONS = {"centring": dict(sharpening=dict(how="centring")), "Sinkhorn": dict()}


def of_rank(rank: int) -> dict[str, dict[str, Tensor]]:
    results = {}
    for name, options in OPTIONS.items():
        results[name] = step(slice(2 * rank, 2 * rank + 2), options)
        for key, value in results[name].items():
            if key != "centre":
                torch.distributed.all_reduce(value)
                value /= 2
    return results


def test_two_processes_equal_one(in_two_processes: Callable[..., list]) -> None:
    first, second = in_two_processes(of_rank)
    for name, options in OPTIONS.items():
        for key, value in step(slice(0, 4), options).items():
            # timm resizes positions for small views in float32.
            difference = (first[name][key] - value).abs().max()
            assert difference <= 1e-6 * value.abs().max() + 1e-12, (name, key)
            assert torch.equal(first[name][key], second[name][key])


def test_bounds_of_a_head_that_tells_nothing_apart() -> None:
    objective, _, batch, encode = setting()
    torch.nn.init.ones_(objective.head.prototypes)
    terms = objective(batch, encode)
    bounds = objective.bounds(batch, terms)
    assert terms["loss"].item() == pytest.approx(bounds.collapsed) == math.log(16)
    assert bounds.best < bounds.collapsed and terms["spread"] <= math.log(16) + 1e-9
