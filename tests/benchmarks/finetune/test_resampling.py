"""Bicubic where fine-tuning asks for it, bilinear everywhere else, both as Pillow does them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import ClassFolder
from pretrain.data.decode import decode
from pretrain.views.crop import Crop, cut

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@pytest.mark.parametrize("mode", FILTERS)
@pytest.mark.parametrize("side", [80, 30])
def test_crops_are_pillows(mode: str, side: int) -> None:
    """Hard edges, shrunk and enlarged: no overshoot wraps around; two 8-bit levels are the rounding
    of two passes.
    """
    image = (np.random.default_rng(0).random((97, 131, 3)) > 0.5).astype(np.uint8) * 255
    view, _ = cut(image, Crop(5, 7, side, side), source=(97, 131), size=(64, 64), mode=mode)
    expected = np.asarray(
        Image.fromarray(image[5 : 5 + side, 7 : 7 + side]).resize((64, 64), FILTERS[mode])
    )
    assert np.abs(view.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2


def test_validation_images_are_pillows(image_folder: Path) -> None:
    split = ClassFolder(image_folder).val
    made = {
        n: next(split.batches(28, 1, crop_fraction=0.875, resample=f))[0][0]
        for n, f in FILTERS.items()
    }
    again = next(split.batches(28, 1, crop_fraction=0.875))[0][0]
    assert torch.equal(again, made["bilinear"]) and not torch.equal(again, made["bicubic"])
    image = Image.fromarray(decode(Path(split.name(0)).read_bytes()))
    width, height = (round(32 * side / min(image.size)) for side in image.size)
    resized = np.asarray(image.resize((width, height), FILTERS["bicubic"]))
    top, left = (resized.shape[0] - 28) // 2, (resized.shape[1] - 28) // 2
    assert np.array_equal(
        made["bicubic"].permute(1, 2, 0).numpy(), resized[top : top + 28, left : left + 28]
    )
