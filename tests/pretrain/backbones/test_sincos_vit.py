"""SinCosViT: what is fixed, what is drawn, and that checkpoints of it load where backbones are
evaluated.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from timm.layers import build_sincos2d_pos_embed, resample_abs_pos_embed

from benchmarks.core.extractor import FeatureExtractor
from pretrain.backbones.positions import resized_by_factor
from pretrain.backbones.sincos_vit import SinCosViT
from pretrain.backbones.timm_backbone import architecture

SMALL = dict(
    name="vit_tiny_patch16_224", img_size=64, patch_size=8, embed_dim=32, depth=2, num_heads=2
)


def test_positions_are_the_table_of_a_whole_image() -> None:
    model = SinCosViT(**SMALL).model
    assert model.pos_embed.shape == (1, 65, 32) and (model.pos_embed[:, 0] == 0).all()
    assert torch.equal(model.pos_embed[0, 1:], build_sincos2d_pos_embed([8, 8], 32))
    sines, cosines = model.pos_embed[0, 1:].view(8, 8, 2, 2, 8)[3, 5]  # each (axis, frequency)
    angles = torch.tensor([[3.0], [5.0]]) * 10000 ** -(torch.arange(8) / 8)
    assert torch.allclose(sines, angles.sin(), atol=1e-5) and torch.allclose(
        cosines, angles.cos(), atol=1e-5
    )


def test_initial_values_and_what_is_trained() -> None:
    backbone = SinCosViT(**SMALL)
    fixed = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert fixed == {
        "model.pos_embed",
        "model.patch_embed.proj.weight",
        "model.patch_embed.proj.bias",
    }
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
    assert features.prefix.shape == (2, 1, 32) and torch.equal(
        features.prefix[:, 0], features.vector
    )


@torch.no_grad()
def positions_of(backbone: SinCosViT, size: int) -> torch.Tensor:
    """What is added to the embedded patches of an input of this size, (tokens, D), behind the class
    token."""
    model, grid = backbone.model, size // backbone.model.patch_embed.patch_size[0]
    return model._pos_embed(torch.zeros(1, grid, grid, model.embed_dim))[0]


@pytest.mark.parametrize("size", [64, 160])
def test_the_table_of_the_released_code(size: int) -> None:
    """Exemplars of 64 px and contexts of 160 px at a table of 224 px: bicubic by a factor, without
    antialiasing."""
    backbone = SinCosViT("vit_tiny_patch16_224", depth=1, position_resize="factor")
    cells = size // 16
    table = build_sincos2d_pos_embed([14, 14], 192).view(1, 14, 14, 192).permute(0, 3, 1, 2)
    factor = ((cells + 0.1) / 14, (cells + 0.1) / 14)
    expected = torch.nn.functional.interpolate(table, scale_factor=factor, mode="bicubic")
    assert expected.shape == (1, 192, cells, cells)
    actual = positions_of(backbone, size)
    assert torch.equal(actual[1:], expected[0].flatten(1).T) and torch.equal(
        actual[0], backbone.model.cls_token[0, 0]
    )


@pytest.mark.parametrize("width, timms, plain", [(192, 0.083, 0.034), (768, 0.073, 0.031)])
def test_how_far_the_tables_are_apart(width: int, timms: float, plain: float) -> None:
    """At 4 × 4 of 14 × 14; 0.083 and 0.034 of 0.708 were measured on the released function itself,
    for ViT-Ti."""
    table = build_sincos2d_pos_embed([14, 14], width)[None]
    actual = resized_by_factor(table, (14, 14), (4, 4))
    for antialias, expected in ((True, timms), (False, plain)):
        other = resample_abs_pos_embed(
            table, [4, 4], [14, 14], num_prefix_tokens=0, antialias=antialias
        )
        assert (actual - other).square().mean().sqrt().item() == pytest.approx(expected, abs=6e-4)
    assert actual.square().mean().sqrt().item() == pytest.approx(0.708, abs=6e-4)


def test_both_tables_are_the_same_at_their_own_size_and_in_copies() -> None:
    torch.manual_seed(0)
    timms = SinCosViT(**SMALL)
    released = SinCosViT(**SMALL, position_resize="factor")
    released.load_state_dict(timms.state_dict())
    image = torch.randn(2, 3, 64, 64)
    assert torch.equal(released(image).map(), timms(image).map())
    follower = copy.deepcopy(released)
    with torch.no_grad():
        follower.model.pos_embed *= 2
    # It resizes its own table, not the first network's.
    assert not torch.allclose(positions_of(follower, 32), positions_of(released, 32))
    assert "position_resize" not in timms.config  # networks of before keep their identity
    again = MODELS.build(architecture(released.config))
    again.load_state_dict(released.state_dict())
    assert torch.equal(again(image[..., :32]).map(), released(image[..., :32]).map())
    assert not torch.allclose(again(image[..., :32]).map(), timms(image[..., :32]).map(), atol=1e-3)


def test_a_checkpoint_loads_as_an_extractor(tmp_path: Path) -> None:
    backbone = SinCosViT(**SMALL)
    state = {f"backbone.{name}": value for name, value in backbone.state_dict().items()}
    torch.save(dict(meta=dict(backbone=backbone.config), state_dict=state), tmp_path / "final.pth")
    extractor = FeatureExtractor.load(str(tmp_path / "final.pth"))
    assert isinstance(extractor.backbone, SinCosViT) and extractor.report.missing == ()
    images = torch.rand(1, 3, 48, 48)
    assert torch.allclose(
        extractor.maps(images), backbone.eval()(extractor.normalise(images)).map(), atol=1e-5
    )


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="'resnet18': SinCosViT takes plain ViTs"):
        SinCosViT("resnet18")
    with pytest.raises(ValueError, match="pretrained=True"):
        SinCosViT("vit_tiny_patch16_224", pretrained=True)
    with pytest.raises(ValueError, match="position_resize='released' is not one of timm, factor"):
        SinCosViT(**SMALL, position_resize="released")
    with pytest.raises(ValueError, match="register tokens"):
        SinCosViT(**SMALL, reg_tokens=2, position_resize="factor")
