"""Checkpoints of mmsegmentation's and mmdetection's own backbones, imported: the same features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.import_run import import_file

pytestmark = pytest.mark.usefixtures("transfer_libraries")


def bring(network: nn.Module, folder: Path) -> tuple[FeatureExtractor, tuple[str, ...]]:
    """Saves a segmentor's or detector's checkpoint around a backbone and imports it."""
    state = {f"backbone.{k}": v for k, v in network.state_dict().items()} | {
        "decode_head.conv_seg.bias": torch.zeros(3)
    }
    torch.save(dict(meta=dict(epoch=1), state_dict=state, optimizer={}), folder / "theirs.pth")
    written = import_file(folder / "theirs.pth", folder / "ours.pth")
    assert written.lines[0].startswith("layout mmpretrain (")
    return FeatureExtractor.load(f"{folder}/ours.pth"), written.lines


def randomise(network: nn.Module) -> nn.Module:
    """Everything random, so that everything matters."""
    torch.manual_seed(0)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5) if "var" in name else nn.init.normal_(value, std=0.05)
    network.eval()  # returns nothing in these libraries
    return network


def normalised(images: Tensor, extractor: FeatureExtractor) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (extractor.mean, extractor.std))
    return (images - mean) / std


def test_plain_and_deep_stem_resnets(tmp_path: Path) -> None:
    from mmdet.models.backbones import ResNet
    from mmseg.models.backbones import ResNetV1c, ResNetV1d

    images = torch.rand(1, 3, 64, 64)
    for kind, depth in ((ResNet, 18), (ResNetV1c, 18), (ResNetV1d, 18)):
        network = randomise(kind(depth=depth, **(dict(style="pytorch") if kind is ResNet else {})))
        extractor, lines = bring(network, tmp_path)
        with torch.no_grad():
            expected = network(normalised(images, extractor))[-1]
        assert (extractor.maps(images) - expected).abs().max() < 1e-5 * max(
            1, expected.abs().max()
        ), kind
        assert "decoder 1 (state_dict/decode_head.conv_seg.bias)" in lines[2]
    assert extractor.backbone.config["avg_down"]  # the last one, V1d


def test_vit(tmp_path: Path) -> None:
    from mmseg.models.backbones import VisionTransformer

    network = VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dims=128,
        num_layers=2,
        num_heads=2,
        out_indices=(1,),
        final_norm=True,
        norm_cfg=dict(type="LN", eps=1e-6),
    )
    extractor, _ = bring(randomise(network), tmp_path)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = network(normalised(images, extractor))[0]
    assert (extractor.maps(images) - expected).abs().max() < 1e-5 * max(1, expected.abs().max())
