"""Pooling and head against closed forms, and which parameters are trained."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from benchmarks.finetune.head import PooledHead
from pretrain.backbones.sincos_vit import SinCosViT
from pretrain.backbones.timm_backbone import TimmBackbone

VIT = dict(patch_size=8, img_size=32, depth=2, embed_dim=24, num_heads=2)


def test_mean_leaves_the_class_token_and_the_last_norm_out() -> None:
    """By hand: the blocks' own output, token 0 dropped, mean, LayerNorm, linear."""
    torch.manual_seed(0)
    backbone = TimmBackbone("vit_tiny_patch16_224", **VIT).eval()
    head = PooledHead(backbone, 3)
    torch.nn.init.normal_(head.norm.weight)
    images = torch.randn(2, 3, 32, 32)
    network = backbone.model
    tokens = network.patch_embed(images).flatten(1, 2)
    tokens = torch.cat([network.cls_token.expand(2, -1, -1), tokens], 1) + network.pos_embed
    for block in network.blocks:
        tokens = block(tokens)
    pooled = tokens[:, 1:].mean(1)
    torch.testing.assert_close(head.pool(backbone(images)), pooled, rtol=1e-4, atol=1e-5)
    scored = F.linear(
        (pooled - pooled.mean(1, keepdim=True))
        / (pooled.var(1, keepdim=True, correction=0) + 1e-6).sqrt()
        * head.norm.weight
        + head.norm.bias,
        head.linear.weight,
        head.linear.bias,
    )
    torch.testing.assert_close(head(backbone(images)), scored, rtol=1e-4, atol=1e-8)


def test_mean_of_a_resnet_is_its_own_pooling() -> None:
    backbone = TimmBackbone("test_resnet").eval()
    images = torch.randn(2, 3, 64, 64)
    expected = backbone(images)
    head = PooledHead(backbone, 3)
    assert isinstance(head.norm, torch.nn.Identity) and all(
        p.requires_grad for p in backbone.parameters()
    )
    torch.testing.assert_close(head.pool(backbone(images)), expected.vector)


def test_network_pooling_is_the_vector() -> None:
    backbone = TimmBackbone("vit_tiny_patch16_224", **VIT).eval()
    head = PooledHead(backbone, 3, "network")
    encoded = backbone(torch.randn(2, 3, 32, 32))
    assert head.pool(encoded) is encoded.vector and isinstance(head.norm, torch.nn.Identity)


@pytest.mark.parametrize("pooling", ["mean", "network"])
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_convnext"])
def test_exactly_the_trained_parameters_get_a_gradient(name: str, pooling: str) -> None:
    """Otherwise several processes would wait for gradients that never come."""
    torch.manual_seed(0)
    backbone = TimmBackbone(name)
    head = PooledHead(backbone, 3, pooling)
    head(backbone(torch.randn(2, 3, 64, 64))).square().sum().backward()
    for key, parameter in [*backbone.named_parameters(), *head.named_parameters()]:
        assert (parameter.grad is not None) == parameter.requires_grad, key
    frozen = {key for key, p in backbone.named_parameters() if not p.requires_grad}
    wanted = {
        "test_vit": {"norm.weight", "norm.bias"},
        "test_convnext": {"head.norm.weight", "head.norm.bias"},
    }
    assert frozen == (
        {f"model.{key}" for key in wanted.get(name, ())} if pooling == "mean" else set()
    )


def test_first_weights_are_tiny_and_scores_float32() -> None:
    torch.manual_seed(0)
    head = PooledHead(TimmBackbone("test_resnet"), 50)
    assert (
        head.linear.weight.std().item() == pytest.approx(2e-5, rel=0.05)
        and not head.linear.bias.any()
    )
    with torch.autocast("cpu", torch.bfloat16):
        assert head.score(torch.randn(2, head.linear.in_features)).dtype == torch.float32


def test_sincos_vit_keeps_its_table() -> None:
    backbone = SinCosViT("vit_tiny_patch16_224", freeze_patches=False, **VIT)
    PooledHead(backbone, 3)
    trained = {key for key, p in backbone.named_parameters() if p.requires_grad}
    assert "model.pos_embed" not in trained and "model.patch_embed.proj.weight" in trained


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="pooling='max'.*mean, network"):
        PooledHead(TimmBackbone("test_resnet"), 3, "max")
    with pytest.raises(ValueError, match="classes=1"):
        PooledHead(TimmBackbone("test_resnet"), 1)
