"""Folders for the Hugging Face hub: transformers' key names, and timm's layout for networks it does
not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.run import export
from benchmarks.export.source import Difference

VIT = "vit_tiny_patch16_224?depth=2&img_size=32&embed_dim=64&num_heads=2"
NARROW = "resnet18?channels=(8,16,32,64)"


def test_vit_folder_by_hand(write_ours: Callable[..., Path]) -> None:
    """Against key names and pieces written out by hand: this test needs no transformers."""
    path = write_ours(VIT)
    done = export(str(path), "huggingface")
    source = {
        k.removeprefix("backbone.model."): v for k, v in torch.load(path)["state_dict"].items()
    }
    state = load_file(done.path / "model.safetensors")
    assert len(state) == 4 + 2 * 16 + 2
    for part, name in enumerate(("query", "key", "value")):
        found = state[f"encoder.layer.1.attention.attention.{name}.weight"]
        assert torch.equal(found, source["blocks.1.attn.qkv.weight"][64 * part : 64 * (part + 1)])
    for theirs, timms in {
        "embeddings.cls_token": "cls_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
        "layernorm.weight": "norm.weight",
        "encoder.layer.0.intermediate.dense.weight": "blocks.0.mlp.fc1.weight",
        "encoder.layer.0.layernorm_after.bias": "blocks.0.norm2.bias",
    }.items():
        assert torch.equal(state[theirs], source[timms])
    config = json.loads((done.path / "config.json").read_text())
    assert (config["image_size"], config["layer_norm_eps"], config["num_attention_heads"]) == (
        32,
        1e-6,
        2,
    )
    processor = json.loads((done.path / "preprocessor_config.json").read_text())
    assert processor["image_mean"] == [0.5, 0.4, 0.3] and processor["size"] == {
        "height": 32,
        "width": 32,
    }
    assert json.loads((done.path / "pixelpretext.json").read_text())["format"] == "huggingface"


def test_resnet_folder_by_hand(write_ours: Callable[..., Path]) -> None:
    path = write_ours("resnet50?layers=(1,1,2,1)&channels=(8,16,32,64)&output_stride=8")
    done = export(str(path), "huggingface")
    source = {
        k.removeprefix("backbone.model."): v for k, v in torch.load(path)["state_dict"].items()
    }
    state = load_file(done.path / "model.safetensors")
    assert len(state) == len([key for key in source if not key.startswith("target_backbone")])
    for theirs, timms in {
        "embedder.embedder.normalization.running_var": "bn1.running_var",
        "encoder.stages.2.layers.1.layer.2.convolution.weight": "layer3.1.conv3.weight",
        "encoder.stages.3.layers.0.shortcut.normalization.bias": "layer4.0.downsample.1.bias",
    }.items():
        assert torch.equal(state[theirs], source[timms])
    config = json.loads((done.path / "config.json").read_text())
    assert config["hidden_sizes"] == [32, 64, 128, 256] and config["depths"] == [1, 1, 2, 1]
    assert config["layer_type"] == "bottleneck" and config["downsample_in_bottleneck"] is False
    assert "output stride 32, not 8" in str(done)


@pytest.mark.parametrize("spec", [VIT, NARROW])
def test_transformers_itself(write_ours: Callable[..., Path], spec: str) -> None:
    pytest.importorskip(
        "transformers", reason="transformers is not among this project's requirements"
    )
    done = export(str(write_ours(spec)), "huggingface")
    assert (
        isinstance(done.verified, Difference)
        and done.verified.single < 1e-5
        and done.verified.double < 1e-9
    )


def test_other_networks_become_timms_layout(write_ours: Callable[..., Path]) -> None:
    path = write_ours("test_resnet?output_stride=8")
    done = export(str(path), "huggingface")
    assert isinstance(done.verified, Difference) and "this is timm's layout" in str(done)
    names = dict(timm=timm)
    exec(done.export.line, names)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = FeatureExtractor.load(str(path)).backbone(images).vector
        torch.testing.assert_close(names["model"].eval()(images), expected, atol=1e-5, rtol=1e-5)
    assert list(names["model"].pretrained_cfg["mean"]) == [0.5, 0.4, 0.3]
    again = export(str(path), "huggingface", overwrite=True)
    assert again.path == done.path and not [
        p for p in path.parent.iterdir() if p.name.startswith(".")
    ]
