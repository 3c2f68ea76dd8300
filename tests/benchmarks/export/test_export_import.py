"""Out and in again: what export writes import reads, with the same weights under timm's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export import to_mm as export_mm
from benchmarks.export.import_run import import_file
from benchmarks.export.run import export

BASIC = "resnet18?channels=(8,16,32,64)"
BOTTLENECK = "resnet50?channels=(8,16,32,64)"
VIT = "vit_tiny_patch16_224?depth=2&img_size=32&embed_dim=128&num_heads=2"


@pytest.mark.parametrize(
    ("spec", "to", "layout"),
    [
        (BASIC, "timm", "timm"),
        (BOTTLENECK, "safetensors", "timm"),
        ("resnet18?layers=(1,1,1,1)", "torchvision", "torchvision"),
        (VIT, "torchvision", "torchvision"),
        (BASIC, "mmdet", "mmdet"),
        (VIT, "mmseg", "mmseg"),
        (BOTTLENECK, "huggingface", "huggingface"),
        (VIT, "huggingface", "huggingface"),
    ],
)
def test_weights_come_back(
    write_ours: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spec: str,
    to: str,
    layout: str,
) -> None:
    monkeypatch.setattr(
        export_mm.libraries, "missing", lambda: ["mmcv"]
    )  # test_export_mm.py imports them
    path = write_ours(spec)
    done = export(str(path), to)
    file = done.path / "model.safetensors" if to == "huggingface" else done.path
    back = import_file(file, tmp_path / "back.pth", layout=layout)
    before = FeatureExtractor.load(str(path)).backbone.state_dict()
    after = FeatureExtractor.load(str(back.path)).backbone.state_dict()
    counters = {key for key in before if key.endswith("num_batches_tracked")}
    assert set(after) - counters == set(before) - counters
    assert all(torch.equal(after[key], before[key]) for key in set(before) - counters)
