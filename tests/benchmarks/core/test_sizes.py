"""Sizes that networks refuse: each way of failing becomes one sentence, other errors pass."""

from __future__ import annotations

import pytest
import torch

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.sizes import refused_sizes
from pretrain.backbones.timm_backbone import TimmBackbone

BEIT = "random:beit_base_patch16_224?depth=1&embed_dim=24&num_heads=2"
HIERA = "random:hiera_tiny_224?stages=(1, 1, 1, 1)&embed_dim=24&num_heads=1"
NAFLEX = "random:naflexvit_base_patch16_siglip?depth=1&embed_dim=24&num_heads=2"


@pytest.mark.parametrize(
    "spec, size, message",
    [
        (
            "random:test_vit",
            (101, 141),
            r"test_vit refuses this size \(Input height \(101\) should be divisible by patch size "
            r"\(16\)\.\); both sides must be multiples of 16, the nearest size is 96 × 144; set it",
        ),
        (NAFLEX, (101, 141), "invalid for input of size .* multiples of 16, .* 96 × 144"),
        (BEIT, (96, 144), r"built for 224 × 224 pixels: .*, or try .* \?img_size=\(96, 144\)"),
        (HIERA, (96, 160), r"built for 224 × 224 pixels: .*, or try .* \?img_size=\(96, 160\)"),
        ("random:levit_128s", (229, 227), "it was built for 224 × 224 pixels: set size= to that$"),
        (
            "random:halonet26t?img_size=(96, 128)",
            (96, 128),
            r"\(its modules do not fit this size\); it takes no images of this shape, whatever",
        ),
    ],
)
def test_a_refused_size_is_a_sentence(spec: str, size: tuple[int, int], message: str) -> None:
    extractor = FeatureExtractor.load(spec)
    for encode in (extractor.maps, extractor.vector):
        with pytest.raises(
            ValueError, match=f"images of {size[0]} × {size[1]} pixels: .*{message}"
        ):
            encode(torch.zeros(1, 3, *size))


@pytest.mark.parametrize("spec, size", [(BEIT, (96, 144)), (HIERA, (96, 160))])
def test_what_the_sentence_advises_helps(spec: str, size: tuple[int, int]) -> None:
    extractor = FeatureExtractor.load(f"{spec}&img_size={size}")
    stride = extractor.stride
    assert extractor.maps(torch.zeros(1, 3, *size)).shape[2:] == (
        size[0] // stride,
        size[1] // stride,
    )


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a tensor of size 3"),
        RuntimeError("CUDA error: an illegal memory access was encountered (out of bounds)"),
        RuntimeError("expected scalar type Float but found Half"),
        KeyError("size"),
    ],
)
def test_errors_of_another_kind_pass(error: Exception) -> None:
    backbone, images = TimmBackbone("test_vit"), torch.zeros(1, 3, 64, 64)
    with pytest.raises(type(error)) as raised, refused_sizes(backbone, images):
        raise error
    assert raised.value is error
