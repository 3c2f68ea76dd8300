"""Position tables at another size: both rules against the vectors of their own code."""

from __future__ import annotations

import pytest
import torch
from timm.layers import resample_abs_pos_embed

from pretrain.backbones.positions import factor_positions, require_factor, resized_by_factor
from pretrain.backbones.timm_backbone import TimmBackbone


def table(height: int, width: int) -> torch.Tensor:
    """(3i + 5j) mod 7, as (1, H·W, 1)."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return ((3 * rows + 5 * columns) % 7).double().view(1, -1, 1)


def test_both_rules_give_what_their_own_code_gives() -> None:
    """Values of DINOv2's released functions, with registers (= timm's) and without."""
    to_size = resample_abs_pos_embed(table(4, 4), [3, 3], [4, 4], num_prefix_tokens=0)
    by_factor = resized_by_factor(table(4, 4).float(), (4, 4), (3, 3))  # as the source: float32
    expected = [1.370484, 4.090545, 2.471993, 4.105419, 3.241326]
    expected += [2.580091, 2.501741, 2.594966, 2.688191]
    assert to_size.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    expected = [0.852577, 4.612062, 1.884222, 4.550711, 2.993437]
    expected += [2.953567, 2.843512, 2.343996, 2.705362]
    assert by_factor.flatten().tolist() == pytest.approx(expected, abs=1e-6)
    exact = resized_by_factor(table(4, 4), (4, 4), (3, 3))
    assert exact.dtype == torch.float64
    torch.testing.assert_close(by_factor.double(), exact, atol=3e-6, rtol=0)


def test_at_a_real_size_the_rules_differ_by_a_part_of_a_wave() -> None:
    rows, columns = torch.arange(37.0)[:, None].double(), torch.arange(37.0)
    waves = torch.sin(0.3 * rows + 0.2 * columns).view(1, -1, 1)
    to_size = resample_abs_pos_embed(waves, [32, 32], [37, 37], num_prefix_tokens=0)
    difference = (to_size - resized_by_factor(waves, (37, 37), (32, 32))).abs()
    assert difference.max().item() == pytest.approx(0.072742, abs=1e-6)
    assert difference.mean().item() == pytest.approx(0.018847, abs=1e-6)


def test_the_rule_ends_with_its_block() -> None:
    backbone = TimmBackbone("vit_tiny_patch16_224", depth=1, embed_dim=12, num_heads=1).eval()
    model, images = backbone.model, torch.randn(1, 3, 96, 160)
    with torch.no_grad():
        before = backbone(images).map()
        with factor_positions(model):
            inside = backbone(images).map()
            with factor_positions(model):
                assert torch.equal(backbone(images).map(), inside)
            assert torch.equal(backbone(images).map(), inside)
        assert torch.equal(backbone(images).map(), before) and not torch.equal(before, inside)
        model.pos_embed[:, 1:] = model.pos_embed[:, 1:2]  # where all cells are alike, so are rules
        with factor_positions(model):
            inside = backbone(images).map()
    torch.testing.assert_close(backbone(images).map(), inside, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("test_resnet", {}, "is no plain ViT with a position table"),
        ("vit_tiny_patch16_dinov3_qkvb", dict(depth=1), "is no plain ViT with a position table"),
        ("vit_tiny_patch16_224", dict(depth=1, reg_tokens=2), "has register tokens"),
        ("vit_tiny_patch16_224", dict(depth=1, dynamic_img_size=False), "takes one size alone"),
    ],
)
def test_networks_without_the_choice_say_so(name: str, options: dict, message: str) -> None:
    model = TimmBackbone(name, **options).model
    with pytest.raises(ValueError, match=f"positions='factor': {name} {message}"):
        require_factor(model, f"positions='factor': {name}")
