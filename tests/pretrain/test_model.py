"""The pretrainer: shared encodings, weights, targets and their momentum."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.model import BaseDataPreprocessor

import pretrain.objectives.byol
import pretrain.objectives.pixcontrast
import pretrain.objectives.pixpro
import pretrain.objectives.simclr  # noqa: F401 – registered by import
from pretrain.encodings import BatchEncodings
from pretrain.geometry import from_box
from pretrain.model import Pretrainer
from pretrain.structures import Batch, Views
from pretrain.terms import total_loss

BACKBONE = dict(type="TimmBackbone", name="test_resnet", output_stride=8)
PIXPRO = dict(type="PixPro", hidden=16, dim=8)
SIMCLR = dict(type="SimCLR", dim=8)


def build(*objectives: dict, **options: object) -> Pretrainer:
    torch.manual_seed(0)
    return Pretrainer(
        BACKBONE, list(objectives), data_preprocessor=dict(type=BaseDataPreprocessor), **options
    )


@pytest.fixture
def batch() -> Batch:
    geometry = from_box(
        torch.tensor([[[0, 0, 0.8, 0.8], [0.9, 0.2, 0.1, 1]]] * 4, dtype=torch.float64)
    )
    images = torch.randn(4, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    return Batch({"global": Views(images, geometry)}, None, torch.arange(4))


def test_objectives_are_summed_by_weight_and_share_encodings(batch: Batch) -> None:
    alone = build(PIXPRO)(batch)["PixPro.loss"]
    model = build(dict(PIXPRO, weight=0.5), SIMCLR)
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append("online"))
    model.target_backbone.register_forward_hook(lambda *_: calls.append("target"))
    terms = model(batch)
    assert calls.count("online") == calls.count("target") == 2
    assert torch.allclose(terms["PixPro.loss"], alone / 2)
    total, logged = model.parse_losses(terms)
    assert torch.allclose(total, terms["PixPro.loss"] + terms["SimCLR.loss"])
    assert "PixPro.pairs" in logged


def test_views_are_normalised_apart(batch: Batch) -> None:
    """BatchNorm statistics per view: encoding views together would give other features."""
    model = build(SIMCLR)
    apart = BatchEncodings(batch, model.backbone, None).online("global")[0].vector
    together = model.backbone(batch.views["global"].images.flatten(0, 1)).vector.view(4, 2, -1)[
        :, 0
    ]
    alone = model.backbone(batch.views["global"].images[:, 0]).vector
    assert torch.allclose(apart, alone) and not torch.allclose(apart, together, atol=1e-3)


def test_two_objectives_of_one_type_keep_apart_names(batch: Batch) -> None:
    assert {"SimCLR0.loss", "SimCLR1.loss"} == set(build(SIMCLR, SIMCLR)(batch))


def test_targets_exist_only_when_needed(batch: Batch) -> None:
    assert build(SIMCLR).target_backbone is None
    with pytest.raises(RuntimeError, match="no target network"):
        BatchEncodings(batch, build(SIMCLR).backbone, None).target("global")


def test_targets_start_equal_follow_by_ema_and_keep_their_buffers(batch: Batch) -> None:
    model = build(PIXPRO, momentum=dict(start=0.9))
    pairs = model.momentum_pairs()
    assert all(
        torch.equal(a, b)
        for o, t in pairs
        for a, b in zip(o.parameters(), t.parameters(), strict=True)
    )
    total_loss(model(batch)).backward()
    assert all(p.grad is None for _, t in pairs for p in t.parameters())
    before = copy.deepcopy(model.target_backbone.state_dict())
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(1.0)
    model.after_step(progress=0.0)
    for name, value in model.target_backbone.state_dict().items():
        moved = 0.1 if name in dict(model.target_backbone.named_parameters()) else 0.0
        assert torch.allclose(value.double(), before[name].double() + moved, atol=1e-6), name
    assert model.momentum_step == 1


@pytest.mark.parametrize(
    "progress, momentum", [(0, 0.99), (0.25, 0.991464), (0.5, 0.995), (0.75, 0.998536), (1, 1.0)]
)
def test_momentum_schedule(progress: float, momentum: float) -> None:
    """Vector 10 of the PixPro specification."""
    assert build(SIMCLR).momentum_at(progress) == pytest.approx(momentum, abs=5e-7)


def test_a_slow_target_is_announced() -> None:
    """NeCo's momentum: its quarters, and a half-life of 1,386 steps, 18 epochs of 78."""
    model = build(PIXPRO, momentum=dict(start=0.9995))
    quarters = [model.momentum_at(quarter / 4) for quarter in range(4)]
    assert quarters == pytest.approx([0.9995, 0.999573, 0.99975, 0.999927], abs=1e-6)
    (remark,) = model.remarks(78)
    assert "momentum 0.9995 at the start" in remark and "1,386 steps, 18 epochs" in remark
    assert build(SIMCLR).remarks(78) == []


def test_last_features_carry_no_graph(batch: Batch) -> None:
    model = build(PIXPRO)
    model(batch)
    assert len(model.last_features) == 2 and not model.last_features[0].vector.requires_grad


def test_mistakes_are_named(batch: Batch) -> None:
    with pytest.raises(ValueError, match=r"objectives=\[\]"):
        build()
    with pytest.raises(ValueError, match="start <= end"):
        build(SIMCLR, momentum=dict(start=1.5))
    with pytest.raises(ValueError, match="mode='tensor'"):
        build(SIMCLR)(batch, mode="tensor")
    with pytest.raises(ValueError, match="group='context': no objective shows it.*legal: global"):
        build(SIMCLR, group="context")
