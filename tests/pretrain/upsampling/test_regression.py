"""Regression from a smaller image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from pretrain.structures import Batch
from pretrain.upsampling.model import UpsamplerTrainer
from pretrain.upsampling.regression import ScaleRegression

BILINEAR = dict(type="Interpolation", mode="bilinear")


def test_equals_its_description(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    trainer = make_trainer(BILINEAR, type="ScaleRegression", scales=(0.5, 0.5), least=1)
    image = batch.views["global"].images[:, 0]
    small = F.interpolate(
        image, size=(16, 16), mode="bilinear", antialias=True
    )  # round(2.5) = 2 cells in columns
    up = F.interpolate(trainer.encode(small), size=(4, 5), mode="bilinear")
    expected = ((up - trainer.encode(image)) ** 2).mean()
    torch.testing.assert_close(trainer(batch)["loss"], expected)


def test_trains_the_upsampler_and_draws_a_new_scale_each_step(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    upsampler = dict(type="NeighbourhoodUpsampler", dim=8, heads=2, window=3, depth=1)
    trainer = make_trainer(upsampler, type="ScaleRegression", scales=(0.3, 0.9), least=1)
    sizes = []
    encode = trainer.backbone.forward
    trainer.backbone.forward = lambda images: (
        sizes.append(tuple(images.shape[-2:])),
        encode(images),
    )[1]
    for _ in range(8):
        trainer(batch)["loss"].backward()
        trainer.after_step(0.1)
    assert len(set(sizes)) > 2 and all(side % 8 == 0 for size in sizes for side in size)
    moved = [
        name
        for name, p in trainer.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    ]
    assert moved and all(name.startswith("upsampler.") for name in moved)


@pytest.mark.parametrize(
    "options", [dict(scales=(0.5, 1.0)), dict(scales=(0.6, 0.5)), dict(least=0)]
)
def test_mistakes_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="scales=|least=0"):
        ScaleRegression(4, 8, **options)
