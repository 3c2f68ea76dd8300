"""SinCosViT: what is fixed, what is drawn, and that checkpoints of it load where backbones are evaluated."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from timm.layers import build_sincos2d_pos_embed

from benchmarks.extractor import FeatureExtractor
from pretrain.backbones.sincos_vit import SinCosViT

SMALL = dict(name="vit_tiny_patch16_224", img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=2)


def test_positions_are_the_table_of_a_whole_image() -> None:
    model = SinCosViT(**SMALL).model
    assert model.pos_embed.shape == (1, 65, 32) and (model.pos_embed[:, 0] == 0).all()
    assert torch.equal(model.pos_embed[0, 1:], build_sincos2d_pos_embed([8, 8], 32))
    sines, cosines = model.pos_embed[0, 1:].view(8, 8, 2, 2, 8)[3, 5]  # each (axis, frequency)
    angles = torch.tensor([[3.0], [5.0]]) * 10000 ** -(torch.arange(8) / 8)
    assert torch.allclose(sines, angles.sin(), atol=1e-5) and torch.allclose(cosines, angles.cos(), atol=1e-5)


def test_initial_values_and_what_is_trained() -> None:
    backbone = SinCosViT(**SMALL)
    fixed = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert fixed == {"model.pos_embed", "model.patch_embed.proj.weight", "model.patch_embed.proj.bias"}
    patches = backbone.model.patch_embed.proj
    bound = math.sqrt(6 / (3 * 8 * 8 + 32))
    assert 0.95 * bound < patches.weight.abs().max() <= bound and (patches.bias == 0).all()
    hidden = backbone.model.blocks[0].mlp.fc1
    bound = math.sqrt(6 / (32 + 128))
    assert 0.95 * bound < hidden.weight.abs().max() <= bound and (hidden.bias == 0).all()
    assert backbone.shared_with_target == ("model.cls_token",)
    assert SinCosViT(**SMALL, freeze_patches=False).model.patch_embed.proj.weight.requires_grad


@pytest.mark.parametrize("size, cells", [(64, 8), (80, 10), (32, 4)])
def test_inputs_of_any_size(size: int, cells: int) -> None:
    features = SinCosViT(**SMALL)(torch.randn(2, 3, size, size))
    assert features.map().shape == (2, 32, cells, cells)
    assert features.prefix.shape == (2, 1, 32) and torch.equal(features.prefix[:, 0], features.vector)


def test_a_checkpoint_loads_as_an_extractor(tmp_path: Path) -> None:
    backbone = SinCosViT(**SMALL)
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    torch.save(dict(meta=dict(backbone=backbone.config), state_dict=state), tmp_path / "final.pth")
    extractor = FeatureExtractor.load(str(tmp_path / "final.pth"))
    assert isinstance(extractor.backbone, SinCosViT) and extractor.report.missing == ()
    images = torch.rand(1, 3, 48, 48)
    assert torch.allclose(extractor.maps(images), backbone.eval()(extractor.normalise(images)).map(), atol=1e-5)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="'resnet18': SinCosViT takes plain ViTs"):
        SinCosViT("resnet18")
    with pytest.raises(ValueError, match="pretrained=True"):
        SinCosViT("vit_tiny_patch16_224", pretrained=True)
