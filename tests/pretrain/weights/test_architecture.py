"""Architectures from shapes alone: names of timm, options for what has none, sentences where shapes
do not tell.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor

from pretrain.weights.architecture import infer

VITS = [f"vit_{size}_patch{patch}_224" for size in ("small", "base", "large") for patch in (16, 32)]
VITS += [
    "vit_tiny_patch16_224",
    "vit_small_patch8_224",
    "vit_base_patch8_224",
    "vit_huge_patch14_224",
]
VITS += [
    f"vit_{s}_patch14_{r}dinov2" for s in ("small", "base", "large", "giant") for r in ("", "reg4_")
]
RESNETS = ["resnet18", "resnet26", "resnet34", "resnet50", "resnet101", "resnet152"]
RESNETS += [
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
]
CONVNEXTS = [
    "convnext_tiny",
    "convnext_small",
    "convnext_base",
    "convnext_large",
    "convnext_xlarge",
]


def state_of(name: str, **options: Any) -> dict[str, Tensor]:
    """Shapes alone, no memory."""
    with torch.device("meta"):
        return timm.create_model(name, num_classes=0, **options).state_dict()


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in state.items()}


@pytest.mark.parametrize("name", [*VITS, *RESNETS, *CONVNEXTS])
def test_names_come_back(name: str) -> None:
    family = name.partition("_")[0] if name.startswith(("vit", "convnext")) else "resnet"
    assert infer(family, state_of(name), {}) == (name, {})


@pytest.mark.parametrize(
    ("family", "name", "options"),
    [
        ("resnet", "resnet50c", {}),
        ("resnet", "resnet50d", {}),
        ("resnet", "resnet10t", {}),
        ("resnet", "resnet50", dict(channels=(32, 64, 128, 256), layers=(1, 2, 1, 1))),
        ("resnet", "resnet50", dict(cardinality=2, base_width=16)),
        ("vit", "vit_small_patch16_224", dict(patch_size=4, img_size=64)),
        (
            "vit",
            "vit_tiny_patch16_224",
            dict(embed_dim=128, depth=3, num_heads=2, init_values=1e-5, reg_tokens=2),
        ),
        ("vit", "vit_small_patch16_224", dict(class_token=False, global_pool="avg")),
        ("vit", "vit_small_patch16_224", dict(class_token=False, global_pool="avg", fc_norm=False)),
        ("vit", "vit_small_patch16_224", dict(global_pool="avg", no_embed_class=True)),
        (
            "vit",
            "vit_small_patch16_224",
            dict(qkv_bias=False, qk_norm=True, mlp_ratio=2.0, final_norm=False),
        ),
        ("vit", "vit_small_patch14_dinov2", dict(img_size=224)),
        ("convnext", "convnext_tiny", dict(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32))),
    ],
)
def test_what_has_no_name_gets_options(family: str, name: str, options: dict[str, Any]) -> None:
    state = state_of(name, **options)
    found, own = infer(family, state, {})
    assert shapes(state_of(found, **own)) == shapes(state)


def test_heads_come_from_the_layout_or_from_the_width() -> None:
    state = state_of("vit_small_patch16_224")
    assert infer("vit", state, {384: 12}) == ("vit_small_patch16_224", dict(num_heads=12))
    state = state_of("vit_tiny_patch16_224", embed_dim=128, depth=2, num_heads=2)
    assert infer("vit", state, {})[1]["num_heads"] == 2
    state = state_of("vit_tiny_patch16_224", embed_dim=96, depth=2, num_heads=3)
    with pytest.raises(
        ValueError, match=r"96 wide.*--backbone 'vit_tiny_patch16_224\?embed_dim=96"
    ):
        infer("vit", state, {})


def test_what_cannot_be_built_is_said() -> None:
    resnet = state_of("resnet18")
    cifar = resnet | {"conv1.weight": torch.empty(64, 3, 3, 3)}
    with pytest.raises(ValueError, match=r"conv1.weight is \(64, 3, 3, 3\).*CIFAR"):
        infer("resnet", cifar, {})
    with pytest.raises(ValueError, match="no 'layer4'"):
        infer("resnet", {k: v for k, v in resnet.items() if not k.startswith("layer4")}, {})
    vit = state_of("vit_small_patch16_224")
    with pytest.raises(ValueError, match="199 entries, which are not a square grid"):
        infer("vit", vit | {"pos_embed": torch.empty(1, 199, 384)}, {})
    with pytest.raises(ValueError, match="no 'pos_embed'"):
        infer("vit", {k: v for k, v in vit.items() if k != "pos_embed"}, {})
