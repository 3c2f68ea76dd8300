"""BYOL's loss at its ends, and both kinds of heads."""

from __future__ import annotations

import pytest
import torch

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.objectives.byol import BYOL, byol_loss
from pretrain.structures import Batch, Views


def test_loss_at_its_ends_and_crosswise() -> None:
    a, b = torch.randn(5, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    assert byol_loss((a, b), (b, a)).item() == pytest.approx(
        0
    )  # the first prediction meets the second projection
    assert byol_loss((a, b), (-3 * b, -a)).item() == pytest.approx(8)


def test_squared_distance_form() -> None:
    """2 − 2·cos is the squared distance of unit vectors."""
    p, z = [tuple(torch.randn(5, 4, dtype=torch.float64) for _ in range(2)) for _ in range(2)]
    unit = torch.nn.functional.normalize
    distances = (unit(p[0]) - unit(z[1])).square().sum(1) + (unit(p[1]) - unit(z[0])).square().sum(
        1
    )
    assert torch.allclose(byol_loss(p, z), distances.mean())


@pytest.mark.parametrize("pool", ["before", "after"])
def test_only_online_heads_learn(pool: str) -> None:
    objective = BYOL(FeatureInfo({8: 6}, 6), pool=pool, hidden=8, dim=5)
    views = [Features({8: torch.randn(4, 6, 3, 3)}, torch.randn(4, 6)) for _ in range(2)]
    encode = type("E", (), {"online": lambda self, g: views, "target": lambda self, g: views})()
    batch = Batch(
        {"global": Views(torch.zeros(4, 2, 3, 24, 24), torch.zeros(4, 2, 2, 3))},
        None,
        torch.arange(4),
    )
    objective(batch, encode)["loss"].backward()
    assert all(p.grad is None for p in objective.target_projector.parameters())
    assert all(
        p.grad is not None
        for m in (objective.projector, objective.predictor)
        for p in m.parameters()
    )


def test_unknown_pool_is_named() -> None:
    with pytest.raises(ValueError, match="pool='middle'"):
        BYOL(FeatureInfo({8: 6}, 6), pool="middle")
