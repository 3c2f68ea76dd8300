"""Which parameters are trained, when and how fast: numbers of DINOv2's and NeCo's recipes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.engine.build import build_runner
from pretrain.engine.optim import PrecisionOptimWrapper, build_optimizer
from pretrain.engine.schedule import Schedule
from pretrain.engine.settings import ConfigError


class Model(nn.Module):
    """A backbone of 12 blocks and a head."""

    def __init__(self, name: str = "vit_tiny_patch16_224", **options: Any) -> None:
        super().__init__()
        small = dict(embed_dim=24, num_heads=2, img_size=32) if "vit" in name else {}
        self.backbone = TimmBackbone(name, **small, **options)
        self.head = nn.Linear(self.backbone.info.vector, 3)


def groups_of(model: nn.Module, **options: Any) -> dict[str, dict[str, Any]]:
    """Returns parameter name → its group, without ``backbone.model.``."""
    optimizer = build_optimizer(model, dict(type="AdamW", **options), lr=1.0)
    groups = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            groups[id(parameter)] = group
    named = {}
    for name, parameter in model.named_parameters():
        if id(parameter) in groups:
            named[name.removeprefix("backbone.model.")] = groups[id(parameter)]
    return named


def wrapped(**options: Any) -> PrecisionOptimWrapper:
    return PrecisionOptimWrapper(build_optimizer(Model(), dict(type="AdamW", **options), lr=1.0))


def schedule(steps: int = 8, per_epoch: int = 2) -> Schedule:
    constant = dict(warmup_steps=0, peak=0.5, start=0.5, end=0.5, global_batch=1)
    return Schedule(steps=steps, per_epoch=per_epoch, **constant)


def test_dinov2s_rates() -> None:
    groups = groups_of(Model(), layer_decay=0.9, patch_embed_lr=0.2)
    expected = {
        "patch_embed.proj.weight": 0.050837,
        "pos_embed": 0.9**13,
        "blocks.0.attn.qkv.weight": 0.282430,
        "blocks.11.attn.qkv.bias": 0.9,
        "norm.weight": 0.9,
        "head.weight": 1.0,
    }
    for name, scale in expected.items():
        assert groups[name]["lr_scale"] == pytest.approx(scale, abs=1e-6), name


def test_the_backbone_is_trained_slower_than_the_heads() -> None:
    model = Model()
    model.backbone.add_mask_token()
    groups = groups_of(model, backbone_lr=0.1)
    slow = {name for name, group in groups.items() if group["lr_scale"] == pytest.approx(0.1)}
    assert slow == set(groups) - {"head.weight", "head.bias"}
    both = groups_of(Model(), backbone_lr=0.1, layer_decay=0.5)
    assert both["blocks.11.norm1.weight"]["lr_scale"] == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("name", "count", "trained"),
    [
        ("vit_tiny_patch16_224", 3, {"blocks.9", "blocks.10", "blocks.11", "norm", "head"}),
        ("vit_tiny_patch16_224", 0, {"head"}),
        ("test_resnet", 1, {"layer4.0", "head"}),
    ],
)
def test_only_the_last_blocks_are_trained(name: str, count: int, trained: set[str]) -> None:
    model = Model(name)
    groups = groups_of(model, train_blocks=count)
    shown = set()
    for parameter in groups:
        parts = parameter.split(".")
        shown.add(".".join(parts[:2]) if parts[0].startswith(("blocks", "layer")) else parts[0])
    assert shown == trained
    model.head(model.backbone(torch.randn(2, 3, 32, 32)).map().mean((2, 3))).sum().backward()
    for name, parameter in model.backbone.named_parameters():
        assert (parameter.grad is not None) == (name.removeprefix("model.") in groups), name


def test_weight_decay_rises_along_a_cosine() -> None:
    wrapper = wrapped(weight_decay=0.04, weight_decay_end=0.4)
    plan, seen = schedule(), []
    for step in (0, 2, 4, 6, 8):
        wrapper.set_step(plan, step)
        decays = {group["weight_decay"] for group in wrapper.optimizer.param_groups}
        assert decays - {0.0} != decays  # biases stay without
        seen += decays - {0.0}
    assert seen == pytest.approx([0.04, 0.092721, 0.22, 0.347279, 0.4], abs=1e-6)


def test_heads_are_trained_first() -> None:
    wrapper, plan = wrapped(heads_first=1.5, backbone_lr=0.1), schedule()
    for step, rates in ((0, {0.0, 0.5}), (2, {0.0, 0.5}), (3, {0.05, 0.5})):
        wrapper.set_step(plan, step)
        assert {group["lr"] for group in wrapper.optimizer.param_groups} == rates


def test_a_resumed_run_takes_the_same_rates(
    make_config: Callable, train: Callable, tmp_path: Path
) -> None:
    """12 steps in two epochs; the backbone waits for three of them."""
    options = dict(
        optimizer=dict(
            _delete_=True,
            type="AdamW",
            weight_decay=0.1,
            weight_decay_end=1.0,
            heads_first=0.5,
            backbone_lr=0.5,
            train_blocks=1,
        )
    )
    start = build_runner(make_config(tmp_path / "start", **options)).raw_model.backbone
    start = {name: value.clone() for name, value in start.state_dict().items()}
    whole = train(make_config(tmp_path / "whole", **options))
    waiting = torch.load(tmp_path / "whole" / "iter_3.pth", weights_only=True)["state_dict"]
    for name, value in start.items():
        assert torch.equal(value, waiting[f"backbone.{name}"]), name
        moved = not torch.equal(value, whole["state_dict"][f"backbone.{name}"])
        assert moved == name.startswith(("model.blocks.1.", "model.norm.")), name
    stopped = make_config(tmp_path / "stopped", **options)
    train(stopped)
    for step in (6, 9, 12):
        (tmp_path / "stopped" / f"iter_{step}.pth").unlink()
    resumed = train(stopped, resume=True)
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(train_blocks=13), "optimizer.train_blocks=13: the network has 12 blocks"),
        (dict(backbone_lr=0), "optimizer.backbone_lr=0.*must be a factor > 0"),
        (dict(weight_decay_end=-1), "optimizer.weight_decay_end=-1.*must be >= 0"),
        (dict(layer_decay=1.5), "optimizer.layer_decay=1.5: must be within"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_optimizer(Model(), dict(type="AdamW", **options), lr=1.0)


def test_what_the_model_lacks_is_named(make_config: Callable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="patch_embed_lr=0.2: the backbone has no patch embed"):
        groups_of(Model("test_resnet"), patch_embed_lr=0.2)
    with pytest.raises(ConfigError, match="backbone_lr: the model has no backbone"):
        build_optimizer(nn.Linear(2, 2), dict(type="AdamW", backbone_lr=0.1), lr=1.0)
    cfg = make_config(tmp_path / "run", optimizer__heads_first=50)
    with pytest.raises(ConfigError, match="heads_first=50: the run is .* epochs long"):
        build_runner(cfg)
