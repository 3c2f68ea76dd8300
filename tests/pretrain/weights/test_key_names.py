"""Tables of key names: both directions, against each library's own key lists."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from pretrain.weights import key_names as names
from pretrain.weights.key_names import fuse_qkv, rename, split_qkv, turned

TABLES = {
    name: table
    for name, table in vars(names).items()
    if name.isupper() and not name.startswith("_")
}


@pytest.fixture(scope="module")
def vit() -> dict[str, torch.Tensor]:
    return timm.create_model(
        "test_vit", num_classes=0, class_token=True, global_pool="token"
    ).state_dict()


@pytest.fixture(scope="module")
def resnet() -> dict[str, torch.Tensor]:
    return timm.create_model("resnet50", num_classes=0, layers=(1, 2, 1, 1)).state_dict()


@pytest.mark.parametrize("name", [n for n in TABLES if n.endswith("VIT")])
def test_vit_tables_turn_back(name: str, vit: dict[str, torch.Tensor]) -> None:
    state = split_qkv(vit) if name.startswith("HUGGINGFACE") else vit
    there = rename(state, TABLES[name])
    back = rename(there, turned(TABLES[name]))
    assert len(there) == len(state) and list(back) == list(state)
    assert all(back[key] is state[key] for key in state)


@pytest.mark.parametrize("name", [n for n in TABLES if n.endswith("RESNET")])
def test_resnet_tables_turn_back(name: str, resnet: dict[str, torch.Tensor]) -> None:
    assert list(rename(rename(resnet, TABLES[name]), turned(TABLES[name]))) == list(resnet)


def test_torchvision_names_are_torchvisions() -> None:
    theirs = torchvision.models.VisionTransformer(32, 16, 2, 2, 64, 128, num_classes=5).state_dict()
    ours = {k: v for k, v in theirs.items() if not k.startswith("heads.")}
    found = rename(ours, turned(names.TORCHVISION_VIT))
    expected = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=32,
        depth=2,
        embed_dim=64,
        num_heads=2,
        mlp_ratio=2,
        num_classes=0,
    ).state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


def test_detectron2_names_written_by_hand(resnet: dict[str, torch.Tensor]) -> None:
    found = rename(resnet, names.DETECTRON2_RESNET)
    assert {
        "stem.conv1.weight",
        "stem.conv1.norm.running_var",
        "res2.0.conv1.weight",
        "res2.0.conv3.norm.bias",
        "res3.1.conv2.weight",
        "res5.0.shortcut.weight",
        "res5.0.shortcut.norm.running_mean",
    } <= set(found)
    assert (
        found["res5.0.shortcut.norm.running_mean"] is resnet["layer4.0.downsample.1.running_mean"]
    )


def test_query_key_and_value_in_their_order() -> None:
    state = {
        "a.qkv.weight": torch.arange(12.0).view(6, 2),
        "a.qkv.bias": torch.arange(6.0),
        "b": torch.ones(1),
    }
    parts = split_qkv(state)
    assert list(parts) == [
        "a.q.weight",
        "a.k.weight",
        "a.v.weight",
        "a.q.bias",
        "a.k.bias",
        "a.v.bias",
        "b",
    ]
    assert parts["a.k.weight"].tolist() == [[4, 5], [6, 7]] and parts["a.v.bias"].tolist() == [4, 5]
    back = fuse_qkv(parts)
    assert list(back) == list(state) and all(torch.equal(back[k], state[k]) for k in state)
    del parts["a.k.bias"]  # as in BEiT
    assert fuse_qkv(parts)["a.qkv.bias"].tolist() == [0, 1, 0, 0, 4, 5]
    del parts["a.k.weight"]
    with pytest.raises(ValueError, match=r"a: found \['q', 'v'\].weight"):
        fuse_qkv(parts)


def test_keys_that_no_table_knows() -> None:
    with pytest.raises(ValueError, match="key 'fc.weight' has no counterpart"):
        rename({"fc.weight": 1}, names.DETECTRON2_RESNET)
    with pytest.raises(ValueError, match="second one called 'c'"):
        rename({"a": 1, "b": 2}, [("a", "c"), ("b", "c")])


def test_joined_and_separate_ones_at_once_are_refused() -> None:
    state = {"a.qkv.weight": torch.zeros(6, 2), "a.q.weight": torch.ones(2, 2)}
    with pytest.raises(ValueError, match="a: qkv.weight and q.weight are both in the file"):
        fuse_qkv(state)
