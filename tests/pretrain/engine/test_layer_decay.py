"""Layer-wise learning rates against lists written down by hand and against timm's own groups."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from pretrain.backbones.timm_backbone import TimmBackbone
from pretrain.engine.layer_decay import learning_rate_scales
from pretrain.engine.optim import PrecisionOptimWrapper, build_optimizer
from pretrain.engine.schedule import Schedule
from pretrain.engine.settings import ConfigError


class Model(nn.Module):
    """A backbone and a head, as fine-tuning has them."""

    def __init__(self, name: str, **options: object) -> None:
        super().__init__()
        self.backbone = TimmBackbone(name, **options)
        self.head = nn.Linear(self.backbone.info.vector, 3)


def make_constant(lr: float) -> Schedule:
    return Schedule(steps=2, warmup_steps=0, peak=lr, start=lr, end=lr, global_batch=1, per_epoch=1)


def by_name(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """Returns parameter name → factor as the optimiser has it."""
    optimizer = build_optimizer(
        model, dict(type="AdamW", weight_decay=0.05, layer_decay=layer_decay), lr=1.0
    )
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(p)]: group["lr_scale"] for group in optimizer.param_groups for p in group["params"]
    }


def test_vit_against_a_list() -> None:
    model = Model("vit_tiny_patch16_224", depth=3, embed_dim=24, num_heads=2, img_size=32)
    wanted = {}
    for name, _ in model.named_parameters():
        inside = name.removeprefix("backbone.model.")
        if inside.startswith(("cls_token", "pos_embed", "patch_embed")):
            wanted[name] = 0.8**4
        elif inside.startswith("blocks."):
            wanted[name] = 0.8 ** (3 - int(inside.split(".")[1]))
        elif inside.startswith("norm."):
            wanted[name] = 0.8
        else:
            assert name.startswith("head.")
            wanted[name] = 1.0
    assert by_name(model, 0.8) == pytest.approx(wanted)


def test_resnet_against_a_list() -> None:
    model = Model("test_resnet")
    actual = by_name(model, 0.5)
    assert actual["head.weight"] == actual["head.bias"] == 1.0
    blocks = [n for n in dict.fromkeys(".".join(n.split(".")[:4]) for n in actual) if ".layer" in n]
    for depth, block in enumerate(reversed(blocks), start=1):
        assert {s for n, s in actual.items() if n.startswith(block + ".")} == {0.5**depth}
    stem = {
        s
        for n, s in actual.items()
        if n.startswith(("backbone.model.conv1.", "backbone.model.bn1."))
    }
    assert len(blocks) == 4 and stem == {0.5**5}


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_same_factors_as_timm(name: str) -> None:
    """timm numbers a network with its own classifier; ours has the head outside, which must come to
    the same.
    """
    whole = timm.create_model(name, num_classes=3)
    groups = param_groups_layer_decay(whole, layer_decay=0.7)
    theirs = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    scales = {n: theirs[id(p)] for n, p in whole.named_parameters()}
    backbone = TimmBackbone(name)
    ours = learning_rate_scales(backbone, 0.7)
    for inside, parameter in backbone.model.named_parameters():
        if inside in scales:
            assert ours[id(parameter)] == pytest.approx(scales[inside]), inside


def test_weight_decay_and_members_stay_as_without() -> None:
    model = Model("test_vit")
    plain = build_optimizer(model, dict(type="AdamW", weight_decay=0.05), lr=1.0).param_groups
    split = build_optimizer(
        model, dict(type="AdamW", weight_decay=0.05, layer_decay=0.8), lr=1.0
    ).param_groups
    for decay in (0.05, 0.0):
        members = [
            {id(p) for g in groups if g["weight_decay"] == decay for p in g["params"]}
            for groups in (plain, split)
        ]
        assert members[0] == members[1] and members[0]
    assert all("lr_scale" not in group for group in plain)


def test_the_rate_of_the_step_is_multiplied() -> None:
    wrapper = PrecisionOptimWrapper(
        build_optimizer(Model("test_vit"), dict(type="AdamW", layer_decay=0.5), lr=1.0),
        device_type="cpu",
    )
    wrapper.set_step(make_constant(0.3), 0)
    assert all(
        group["lr"] == pytest.approx(0.3 * group["lr_scale"])
        for group in wrapper.optimizer.param_groups
    )
    assert len({group["lr"] for group in wrapper.optimizer.param_groups}) > 3


def test_the_stem_moves_less_by_the_factor() -> None:
    """One step of sign-SGD: every weight moves by exactly its learning rate."""
    model = Model("test_resnet")
    optimizer = build_optimizer(model, dict(type="SGD", layer_decay=0.5), lr=1.0)
    wrapper = PrecisionOptimWrapper(optimizer)
    wrapper.set_step(make_constant(0.25), 0)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    wrapper.step()
    moved = {n: (before[n] - p.detach()).flatten()[0].item() for n, p in model.named_parameters()}
    assert moved["head.weight"] == pytest.approx(0.25, rel=1e-5)
    assert moved["backbone.model.conv1.0.weight"] == pytest.approx(0.25 * 0.5**5, rel=1e-4)


@pytest.mark.parametrize("value", [0, 1.2, -0.5])
def test_illegal_values(value: float) -> None:
    with pytest.raises(ConfigError, match=r"optimizer.layer_decay=.*within \(0, 1\]"):
        build_optimizer(Model("test_vit"), dict(type="AdamW", layer_decay=value), lr=1.0)


def test_a_model_without_layers() -> None:
    with pytest.raises(ConfigError, match="no timm network"):
        build_optimizer(nn.Linear(2, 2), dict(type="AdamW", layer_decay=0.8), lr=1.0)
