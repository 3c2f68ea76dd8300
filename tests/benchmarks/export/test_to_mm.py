"""Exports into the native backbones of mmdet and mmsegmentation, and through TimmBackbone; needs
both libraries.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.run import export
from benchmarks.export.source import Difference
from benchmarks.mm import libraries
from pretrain.backbones.timm_backbone import TimmBackbone

pytestmark = pytest.mark.skipif(
    bool(libraries.missing()), reason="the transfer layer is not installed"
)

BASIC = "resnet18?channels=(8,16,32,64)"
BOTTLENECK = "resnet50?channels=(8,16,32,64)"
VIT = "vit_tiny_patch16_224?depth=2&img_size=32&embed_dim=64&num_heads=2"


def build(line: str, library: str, what: str = "backbone") -> torch.nn.Module:
    """Runs the printed config line and builds it in the library, as its models do."""
    libraries.require()
    import mmdet.registry
    import mmseg.registry

    names: dict[str, Any] = {}
    exec(line, names)
    registry = {"mmdet": mmdet.registry, "mmseg": mmseg.registry}[library].MODELS
    built = registry.build(names[what] | dict(_scope_=library))
    built.init_weights()
    built.eval()  # returns None in mmdet's ResNet
    return built


@pytest.mark.parametrize(
    ("spec", "library", "kind"),
    [
        (BASIC, "mmdet", "type='ResNet', depth=18, base_channels=8, stem_channels=64"),
        (
            "resnext50_32x4d?channels=(32,64,128,256)&cardinality=4",
            "mmdet",
            "type='ResNeXt', depth=50",
        ),
        (
            "resnext50_32x4d?channels=(32,64,128,256)&cardinality=4",
            "mmseg",
            "groups=4, base_width=2, base_channels=32",
        ),
        (
            "wide_resnet50_2?channels=(8,16,32,64)",
            "mmseg",
            "type='TimmBackbone', name='wide_resnet50_2'",
        ),
        ("resnet50d?channels=(8,16,32,64)", "mmdet", "type='ResNetV1d', depth=50"),
        ("resnet50c?channels=(8,16,32,64)", "mmseg", "type='ResNetV1c', depth=50"),
        (
            BOTTLENECK + "&output_stride=8",
            "mmseg",
            "dilations=(1, 1, 2, 4), contract_dilation=True",
        ),
        (VIT, "mmseg", "type='VisionTransformer', img_size=(32, 32)"),
        (VIT + "&global_pool=avg", "mmseg", "final_norm=False"),
        (VIT + "&no_embed_class=True", "mmseg", "type='VisionTransformer'"),
        (VIT, "mmdet", "type='TimmBackbone', name='vit_tiny_patch16_224', out_indices=(0, 1)"),
        (
            "test_resnet?output_stride=8",
            "mmseg",
            "type='TimmBackbone', name='test_resnet', out_indices=(1, 4)",
        ),
    ],
)
def test_features_are_equal(
    write_ours: Callable[..., Path], spec: str, library: str, kind: str
) -> None:
    path = write_ours(spec)
    done = export(str(path), library, weights="target")
    assert kind in done.export.line
    assert isinstance(done.verified, Difference)
    assert (
        done.verified.single < 1e-5
        and done.verified.double is not None
        and done.verified.double < 1e-9
    )
    assert "bgr_to_rgb=True" in str(done) and "mean=[127.5, 102.0, 76.5]" in str(done)


def test_printed_lines_load(write_ours: Callable[..., Path]) -> None:
    """The lines as they stand, against the features of the checkpoint at stride 32."""
    path = write_ours(BASIC)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        expected = FeatureExtractor.load(str(path)).backbone(images).map()
        for library in ("mmdet", "mmseg"):
            found = build(export(str(path), library).export.line, library)(images)[-1]
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_pretrained_pyramid_becomes_a_neck(write_ours: Callable[..., Path]) -> None:
    channels = [16, 32, 64]
    pyramid = FeaturePyramidNetwork(channels, 24).eval()
    levels = {f"fpn.{key}": value for key, value in pyramid.state_dict().items()}
    done = export(
        str(write_ours(BASIC, levels=levels | {"head_convs.0.weight": torch.zeros(1)})), "mmdet"
    )
    assert [path.name for path in done.others] == ["final_mmdet_fpn.pth"] and done.others[
        0
    ].is_file()
    line = next(note for note in done.export.notes if "neck = " in note).split(": ", 1)[1]
    neck = build(line, "mmdet", "neck")
    maps = [torch.randn(1, width, 16 // 2**i, 24 // 2**i) for i, width in enumerate(channels)]
    with torch.no_grad():
        found, expected = neck(maps), pyramid({str(i): m for i, m in enumerate(maps)}).values()
    assert len(found) == 4  # the fourth by max-pooling
    for theirs, own in zip(found, expected, strict=False):
        torch.testing.assert_close(theirs, own, atol=1e-6, rtol=1e-6)


def test_backbones_that_would_stay_random(tmp_path: Path) -> None:
    backbone = TimmBackbone("test_resnet")
    state = backbone.state_dict()
    state.pop("model.layer1.0.conv1.weight")
    torch.save(state, tmp_path / "short.pth")
    short = TimmBackbone(
        "test_resnet", init_cfg=dict(type="Pretrained", checkpoint=str(tmp_path / "short.pth"))
    )
    with pytest.raises(RuntimeError, match="layer1.0.conv1.weight"):
        short.init_weights()
    with pytest.raises(ValueError, match="write dict.type='Pretrained', checkpoint=FILE"):
        TimmBackbone("test_resnet", init_cfg=dict(type="Kaiming"))


def test_what_needs_the_libraries_says_so(
    write_ours: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "missing", lambda: ["mmcv"])
    done = export(str(write_ours(BASIC)), "mmdet")
    assert "not verified: mmcv not installed (bash tools/setup.sh transfer)" in str(done)
