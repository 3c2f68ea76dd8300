"""KoLeo: numbers of DINOv2's code, closed forms, groups."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.geometry import identity
from pretrain.objectives.koleo import KoLeo, koleo_loss
from pretrain.structures import Batch, Views


def test_numbers_of_dinov2s_code(wave: Callable[..., Tensor]) -> None:
    x = wave(0, 5, 4).requires_grad_()
    loss = koleo_loss(x)
    assert loss.item() == pytest.approx(-0.405800, abs=6e-7)
    loss.backward()
    expected = [-0.020568, 0.046539, 0.012866, 0.042961]
    assert x.grad[0].tolist() == pytest.approx(expected, abs=6e-7)
    equal = torch.cat([x.detach()[:1], x.detach()[:1], x.detach()[2:]]).requires_grad_()
    loss = koleo_loss(equal)
    loss.backward()
    assert loss.item() == pytest.approx(6.664634, abs=6e-7) and torch.isfinite(equal.grad).all()


def test_closed_forms() -> None:
    corners = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=torch.float64)
    assert koleo_loss(corners).item() == pytest.approx(-math.log(2) / 2, abs=1e-6)
    same = torch.ones(6, 4, dtype=torch.float64)
    assert koleo_loss(same).item() == pytest.approx(17.322068, abs=6e-7)
    simplex = torch.eye(3, dtype=torch.float64) - 1 / 3
    assert koleo_loss(5 * simplex).item() == pytest.approx(-math.log(3) / 2)


def test_groups_are_compared_apart(wave: Callable[..., Tensor]) -> None:
    x = wave(1, 6, 4)
    parts = torch.stack([koleo_loss(part) for part in x.split(3)]).mean()
    assert koleo_loss(x, 3).item() == pytest.approx(parts.item())
    for options, message in (((x, 4), "group=4: 6 images"), ((x[:1],), "group=1: 1 images")):
        with pytest.raises(ValueError, match=message):
            koleo_loss(*options)
    with pytest.raises(ValueError, match="group=1: must be None or at least 2"):
        KoLeo(FeatureInfo({8: 4}, 4), group=1)


class TwoViews:
    """Encodings of two views whose vectors are given."""

    def __init__(self, vectors: Tensor) -> None:
        self.views = [Features({}, vector) for vector in vectors]

    def online(self, group: str) -> list[Features]:
        return self.views


def test_views_do_not_repel_each_other_and_the_bounds_hold() -> None:
    simplex = (torch.eye(3, dtype=torch.float64) - 1 / 3).expand(2, 3, 3)
    objective = KoLeo(FeatureInfo({8: 3}, 3))
    views = Views(torch.zeros(3, 2, 3, 8, 8), identity().expand(3, 2, 2, 3))
    batch = Batch({"global": views}, None, torch.arange(3))
    bounds = objective.bounds(batch, {})
    loss = objective(batch, TwoViews(simplex))["loss"]
    assert loss.item() == pytest.approx(bounds.best)
    collapsed = objective(batch, TwoViews(torch.ones_like(simplex)))["loss"]
    assert collapsed.item() == pytest.approx(bounds.collapsed)
    many = KoLeo(FeatureInfo({8: 1}, 1)).bounds(batch, {})
    assert many.best is None
