"""Bare passes: which there are, and that they leave the model alone."""

from __future__ import annotations

import copy
import time

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

import pretrain.model
import pretrain.objectives.pixpro
import pretrain.objectives.simclr  # noqa: F401
from pretrain.engine.efficiency import BarePasses, seconds
from pretrain.geometry import identity
from pretrain.structures import Batch, Views
from pretrain.views.preprocessor import ViewPreprocessor  # noqa: F401


def build(tiny_backbone: dict, objective: str) -> tuple[nn.Module, Batch]:
    model = MODELS.build(
        dict(
            type="Pretrainer",
            backbone=dict(tiny_backbone, drop_path_rate=0.5),
            objectives=[dict(type=objective, hidden=8, dim=4)],
        )
    )
    views = Views(torch.randn(4, 2, 3, 32, 32), identity().expand(4, 2, 2, 3))
    return model.train(), Batch({"global": views}, None, torch.arange(4))


@pytest.mark.parametrize("objective", ["PixPro", "SimCLR"])
def test_one_pass_per_view_and_network_that_the_objective_uses(
    tiny_backbone: dict, objective: str
) -> None:
    names = set(BarePasses(*build(tiny_backbone, objective)).measure())
    online = {"online global[0]", "online global[1]"}
    assert names == (
        online | {"target global[0]", "target global[1]"} if objective == "PixPro" else online
    )


def test_model_and_generator_stay_as_they_are(tiny_backbone: dict) -> None:
    model, batch = build(tiny_backbone, "PixPro")
    before, generator = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    weight = next(model.backbone.parameters())
    weight.grad = torch.ones_like(weight)
    taken = BarePasses(model, batch).measure()
    assert all(value > 0 for value in taken.values())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(generator, torch.get_rng_state())
    assert torch.equal(weight.grad, torch.ones_like(weight))


def test_trained_passes_run_backward_and_count_it(
    tiny_backbone: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    original = torch.Tensor.backward
    monkeypatch.setattr(
        torch.Tensor, "backward", lambda self, g: (calls.append(self.shape), original(self, g))[1]
    )
    BarePasses(*build(tiny_backbone, "PixPro")).measure()
    assert calls == [(4, 96, 4, 4)] * 2


def test_half_precision_passes_run_under_autocast(tiny_backbone: dict) -> None:
    assert len(BarePasses(*build(tiny_backbone, "SimCLR"), dtype=torch.bfloat16).measure()) == 2


def test_seconds_are_wall_clock() -> None:
    # A sleeping process uses no processor time, so anything from 20 ms on is the clock on the wall.
    assert seconds(lambda: time.sleep(0.02), torch.device("cpu")) >= 0.02
