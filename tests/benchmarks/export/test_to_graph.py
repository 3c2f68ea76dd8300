"""Exports of the computation: ONNX, run by onnxruntime, and TorchScript."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.export.run import export
from benchmarks.export.source import Difference

VIT = "vit_tiny_patch16_224?depth=1&img_size=32&embed_dim=64&num_heads=2"


def ours(path: Path, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    backbone = FeatureExtractor.load(str(path)).backbone
    with torch.no_grad():
        features = backbone(images)
    return features.map(), features.vector


@pytest.mark.parametrize("spec", ["test_resnet?output_stride=8", VIT])
def test_onnx_takes_other_batches_and_sizes(write_ours: Callable[..., Path], spec: str) -> None:
    path = write_ours(spec)
    done = export(str(path), "onnx")
    assert isinstance(done.verified, Difference) and done.verified.single < 1e-4
    assert "any batch, any size" in str(done) and "session" not in done.export.line
    images = torch.randn(3, 3, 48, 80)
    names = dict(onnxruntime=onnxruntime, images=images.numpy())
    exec(done.export.line, names)
    for found, expected in zip((names["map"], names["vector"]), ours(path, images), strict=True):
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)
    model = onnx.load(str(done.path))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["source"] == str(path) and len(metadata["fingerprint"]) == 12
    assert not list(path.parent.glob("*.data"))  # weights are in the file


@pytest.mark.parametrize(("spec", "sizes"), [("test_resnet", "any size"), (VIT, "32x32 only")])
def test_torchscript(write_ours: Callable[..., Path], spec: str, sizes: str) -> None:
    path = write_ours(spec)
    done = export(str(path), "torchscript")
    assert (
        isinstance(done.verified, Difference) and done.verified.single < 1e-5 and sizes in str(done)
    )
    images = torch.randn(3, 3, 32, 32)
    names = dict(torch=torch, images=images)
    exec(done.export.line, names)
    for found, expected in zip((names["map"], names["vector"]), ours(path, images), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    extra = {"normalisation": ""}
    torch.jit.load(str(done.path), _extra_files=extra)
    assert b"0.25" in extra["normalisation"]
