"""Bicubic where fine-tuning asks for it, bilinear everywhere else, both as Pillow does them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.data import ClassFolder
from benchmarks.data.loading import centre_crop
from benchmarks.finetune.views import FinetuneViews
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


@pytest.mark.parametrize("shape", [(97, 131), (131, 97), (40, 41), (300, 200)])
@pytest.mark.parametrize("centre", [0.875, 1.0])
def test_a_centred_view_is_what_a_test_shows(shape: tuple[int, int], centre: float) -> None:
    """Up to half a pixel of the source, to which the view is rounded."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] / max(shape)
    channels = [rows, columns, (np.sin(6 * rows) + np.cos(5 * columns) + 2) / 4]
    image = (255 * np.stack(channels, -1)).astype(np.uint8)
    recipe = FinetuneViews(64, centre=centre, flip=0.0, randaugment=None)
    plan = recipe.plan(*shape, np.random.default_rng(0))
    view = recipe.render(image, plan)["global"].images[0].permute(1, 2, 0).numpy().astype(int)
    expected = centre_crop(image, 64, centre, resample=FILTERS["bicubic"])
    assert np.abs(view - expected).max() <= 255 * (6 + 5) / 4 / max(shape) / 2 + 2
    again = recipe.plan(*shape, np.random.default_rng(1))
    assert again.crop == plan.crop


def test_an_illegal_centre_is_refused() -> None:
    with pytest.raises(ValueError, match=r"centre=1.5: must be in \(0, 1\]"):
        FinetuneViews(64, centre=1.5)
