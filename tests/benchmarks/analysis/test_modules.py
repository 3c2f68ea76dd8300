"""Modules and stages of real architectures, by name."""

from __future__ import annotations

import pytest
import torch

from benchmarks.analysis.modules import module_parameters
from benchmarks.analysis.stages import stage_outputs, stage_places
from benchmarks.core.extractor import FeatureExtractor

VIT = "random:vit_tiny_patch16_224?patch_size=8&img_size=32&depth=2&embed_dim=24&num_heads=2"
RESNET = "random:resnet10t?output_stride=8&layers=(1,1,0,0)&channels=(8,16,16,16)&stem_width=8"


@pytest.mark.parametrize(
    ("spec", "modules"),
    [
        (RESNET, ["conv1+bn1", "layer1.0", "layer2.0"]),
        (VIT, ["cls_token+pos_embed+patch_embed.proj", "blocks.0", "blocks.1+norm"]),
    ],
)
def test_modules_hold_every_parameter_once(spec: str, modules: list[str]) -> None:
    backbone = FeatureExtractor.load(spec).backbone
    parts = module_parameters(backbone)
    assert list(parts) == modules
    names = [name for part in parts.values() for name in part]
    assert sorted(names) == sorted(dict(backbone.named_parameters()))


@pytest.mark.parametrize(
    ("spec", "stages"),
    [(RESNET, ["act1", "layer1", "layer2"]), (VIT, ["blocks.0", "blocks.1"])],
)
def test_stages_are_outputs_of_their_modules(spec: str, stages: list[str]) -> None:
    extractor = FeatureExtractor.load(spec)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert list(stage_places(extractor)) == stages
    caught = {}
    network = extractor.backbone.model
    for stage in stages:
        network.get_submodule(stage).register_forward_hook(
            lambda module, inputs, output, stage=stage: caught.setdefault(stage, output.clone())
        )
    extractor.backbone.train()  # and in eval mode meanwhile
    outputs = stage_outputs(extractor, images)
    assert extractor.backbone.training and len(outputs) == len(stages)
    for stage, output in zip(stages, outputs, strict=True):
        expected = caught[stage]
        if expected.ndim == 3:  # tokens, the class token first
            expected = expected[:, 1:].mT.unflatten(2, output.shape[-2:])
        torch.testing.assert_close(output, expected)
