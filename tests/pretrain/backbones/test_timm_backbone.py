"""Backbones of three families behind one interface."""

from __future__ import annotations

import pytest
import timm
import torch
from mmengine.registry import MODELS

from pretrain.backbones.timm_backbone import (
    FeatureInfo,
    Features,
    TimmBackbone,
    architecture,
    timm_options,
    weight_options,
)


@pytest.mark.parametrize(
    "options, strides",
    [
        (dict(name="test_resnet"), [2, 4, 8, 16, 32]),
        (dict(name="test_resnet", output_stride=16), [2, 4, 8, 16]),
        (dict(name="test_resnet", output_stride=8), [2, 4, 8]),
        (dict(name="test_vit"), [16]),
        (dict(name="test_convnext"), [4, 8, 16, 32]),
    ],
)
def test_pyramid_has_the_announced_strides_and_widths(options: dict, strides: list[int]) -> None:
    backbone = TimmBackbone(**options)
    features = backbone(torch.randn(2, 3, 64, 96))  # not square, not the network's default size
    assert sorted(features.pyramid) == strides == sorted(backbone.info.channels)
    for stride, level in features.pyramid.items():
        assert level.shape == (2, backbone.info.channels[stride], 64 // stride, 96 // stride)
    assert features.vector.shape == (2, backbone.info.vector)
    assert features.map() is features.pyramid[strides[-1]]


def test_deepest_stage_stands_where_stages_share_a_stride() -> None:
    backbone = TimmBackbone("test_resnet", output_stride=8).eval()
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(backbone(images).map(), backbone.model.forward_features(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_equals_timm_and_rebuilds_from_its_config(name: str) -> None:
    backbone = TimmBackbone(name).eval()
    size = 160
    reference = timm.create_model(name, num_classes=0).eval()
    reference.load_state_dict(backbone.model.state_dict())  # timm's own key names
    images = torch.randn(2, 3, size, size)
    assert torch.allclose(backbone(images).vector, reference(images), atol=1e-6)
    TimmBackbone(**backbone.config).load_state_dict(backbone.state_dict())


def test_activation_checkpointing_changes_memory_not_gradients() -> None:
    plain, saving = (
        TimmBackbone("test_resnet"),
        TimmBackbone("test_resnet", checkpoint_activations=True),
    )
    saving.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 64)
    gradients = []
    for backbone in (plain, saving):
        backbone(images).vector.sum().backward()
        gradients.append([p.grad for p in backbone.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_frozen_statistics_stay_and_are_used_in_training() -> None:
    images = torch.randn(4, 3, 32, 32) * 3 + 1
    frozen = TimmBackbone("test_resnet", frozen_statistics=True)
    before = {name: value.clone() for name, value in frozen.named_buffers()}
    expected = frozen.eval()(images).vector
    assert torch.equal(frozen.train()(images).vector, expected) and frozen.training
    assert all(torch.equal(value, before[name]) for name, value in frozen.named_buffers())
    assert "frozen_statistics" not in frozen.config
    moving = TimmBackbone("test_resnet")
    moving.load_state_dict(frozen.state_dict())
    assert not torch.allclose(moving.train()(images).vector, expected)


def test_options_reach_the_network() -> None:
    assert (
        TimmBackbone("resnet10t", channels=(16, 32, 64, 128), stem_width=16).info.channels[32]
        == 128
    )


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="'resnet5' is not a timm model; did you mean 'resnet50'"):
        TimmBackbone("resnet5")
    with pytest.raises(ValueError, match="does not take these options .*depthh"):
        TimmBackbone("resnet18", depthh=3)
    with pytest.raises(ValueError, match=r"stride=4: the backbone has maps at strides \[8, 16\]"):
        FeatureInfo({8: 3, 16: 4}, 4).pick(4)


@pytest.mark.parametrize(
    "name, indices",
    [("test_resnet", (1, 2, 3, 4)), ("test_vit", (0, 2, 4)), ("test_convnext", (0, 3))],
)
def test_out_indices_give_the_raw_maps_of_those_stages(name: str, indices: tuple[int, ...]) -> None:
    backbone = TimmBackbone(name, out_indices=indices).eval()
    images = torch.randn(1, 3, 64, 96)
    maps = backbone(images)
    expected = backbone.model.forward_intermediates(images, intermediates_only=True)
    assert isinstance(maps, tuple) and [m.shape[1] for m in maps] == list(backbone.out_channels)
    assert all(torch.equal(m, expected[index]) for m, index in zip(maps, indices, strict=True))
    TimmBackbone(**backbone.config).load_state_dict(
        backbone.state_dict()
    )  # the weights fit either way


def test_out_indices_beyond_the_last_stage_are_refused() -> None:
    with pytest.raises(ValueError, match=r"out_indices=\(1, 9\).*stages 0 to"):
        TimmBackbone("test_resnet", out_indices=(1, 9))


def test_a_function_is_applied_to_every_tensor_of_features() -> None:
    maps, vector, prefix = torch.ones(1, 2, 3, 3), torch.ones(1, 2), torch.ones(1, 1, 2)
    doubled = Features({8: maps}, vector, prefix).each(lambda tensor: 2 * tensor)
    assert doubled.map().sum() == 36 and doubled.vector.sum() == 4 and doubled.prefix.sum() == 4
    assert Features({8: maps}, vector).each(torch.neg).prefix is None


@pytest.mark.parametrize(
    "config",
    [
        dict(
            type="SinCosViT",
            name="vit_tiny_patch16_224",
            freeze_patches=True,
            depth=1,
            embed_dim=12,
            num_heads=1,
        ),
        dict(name="test_resnet", output_stride=8, pretrained=True, checkpoint_activations=True),
    ],
    ids=["with its type", "timm"],
)
def test_a_config_builds_the_architecture_again(config: dict[str, object]) -> None:
    built = MODELS.build(architecture(config))
    assert type(built).__name__ == config.get("type", "TimmBackbone")
    assert architecture(built.config) == {"output_stride": None} | architecture(config)
    assert not {"pretrained", "checkpoint_activations"} & built.config.keys()


def test_what_options_of_a_config_are_about() -> None:
    config = dict(type="SinCosViT", name="vit_tiny_patch16_224", output_stride=None, depth=1)
    config |= dict(freeze_patches=True, position_resize="factor", img_size=32, pretrained=True)
    assert timm_options(config) == dict(depth=1, img_size=32)
    assert timm_options(config | dict(output_stride=8))["output_stride"] == 8
    shared = dict(name="vit_tiny_patch16_224", depth=1, position_resize="factor")
    assert weight_options(config) == shared
    backbone = TimmBackbone("test_resnet", output_stride=8)
    assert backbone.architecture == dict(type="TimmBackbone") | backbone.config


def test_sizes_are_checked_without_encoding() -> None:
    TimmBackbone("test_resnet").check_size((33, 47))
    vit = TimmBackbone("test_vit", img_size=32)
    vit.check_size((48, 64))
    with pytest.raises(
        ValueError, match="48 × 60 pixels: test_vit .* 16 × 16; the nearest is 48 × 64"
    ):
        vit.check_size((48, 60))
    with pytest.raises(ValueError, match="48 × 48 pixels: test_vit takes 32 × 32 alone"):
        TimmBackbone("test_vit", img_size=32, dynamic_img_size=False).check_size((48, 48))
    flexible = TimmBackbone("naflexvit_base_patch16_siglip", depth=1, embed_dim=24, num_heads=2)
    flexible.check_size((48, 64))
    with pytest.raises(ValueError, match="whole patches of 16 × 16; the nearest is 48 × 64"):
        flexible.check_size((48, 60))
    beit = TimmBackbone("beit_base_patch16_224", depth=1, embed_dim=24, num_heads=2)
    with pytest.raises(ValueError, match=r"224 × 224 alone; build it with img_size=\(96, 144\)"):
        beit.check_size((96, 144))
