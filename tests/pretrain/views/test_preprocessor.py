"""The preprocessor: photometrics, then normalisation, then memory layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS

from pretrain.structures import Batch, collate
from pretrain.views.photometric_torch import apply_torch
from pretrain.views.preprocessor import ViewPreprocessor
from pretrain.views.recipe import ViewRecipe

MEAN, STD = (
    torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
    torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
)


def batch(count: int = 4, *, photometrics: bool = False, labels: bool = True) -> Batch:
    jitter = dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
    recipe = ViewRecipe(
        {"global": [dict(size=24, jitter=jitter, grey=0.3), dict(size=24, blur=dict(p=1.0))]}
    )
    samples = []
    for index in range(count):
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        views = recipe.render(image, recipe.plan(40, 50, rng), photometrics=photometrics)
        samples.append(
            Batch(views, torch.tensor(index) if labels else None, torch.tensor(10 + index))
        )
    return collate(samples)


def test_photometrics_and_normalisation_are_applied_per_view() -> None:
    given = batch()
    raw = given.views["global"]
    result = ViewPreprocessor()(given, training=True)["batch"]
    views = result.views["global"]
    assert views.photometric is None and views.images.dtype == torch.float32
    for b in range(4):
        for v in range(2):
            one = apply_torch(
                raw.images[b, v][None], raw.photometric.map(lambda f, b=b, v=v: f[b, v][None])
            )[0]
            torch.testing.assert_close(views.images[b, v], (one - MEAN) / STD, atol=1e-5, rtol=0)
    assert torch.equal(views.geometry, raw.geometry)
    assert torch.equal(result.labels, given.labels) and torch.equal(result.ids, given.ids)
    assert given.views["global"].images.dtype == torch.uint8, "the batch that came in is unchanged"


def test_views_that_workers_finished_are_only_normalised() -> None:
    given = batch(photometrics=True, labels=False)
    result = ViewPreprocessor()(given)["batch"]
    expected = (given.views["global"].images / 255 - MEAN) / STD
    torch.testing.assert_close(result.views["global"].images, expected, atol=1e-5, rtol=0)
    assert result.labels is None


@pytest.mark.parametrize("channels_last", [False, True])
def test_each_view_is_a_contiguous_batch(channels_last: bool) -> None:
    images = ViewPreprocessor(channels_last=channels_last)(batch())["batch"].views["global"].images
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for v in range(2):
        assert images[:, v].is_contiguous(memory_format=layout)


def test_is_registered_and_keeps_out_of_checkpoints() -> None:
    built = MODELS.build(
        dict(type="ViewPreprocessor", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    )
    assert not built.state_dict()
    assert built.normalisation == dict(mean=[0.5] * 3, std=[0.25] * 3)


def test_values_for_0_to_255_are_refused() -> None:
    with pytest.raises(ValueError, match="divide values"):
        ViewPreprocessor(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))
    with pytest.raises(ValueError, match="three numbers"):
        ViewPreprocessor(mean=(0.5,))
