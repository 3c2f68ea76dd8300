"""Views, mixed images and soft targets of fine-tuning."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import TRANSFORMS
from torch.nn import functional as F

from benchmarks.finetune.model import Finetuner
from benchmarks.finetune.seeding import seeded
from benchmarks.finetune.views import FinetuneViews
from pretrain.engine.hooks.nonfinite import NonFiniteHook
from pretrain.engine.model import check_hooks
from pretrain.engine.settings import ConfigError
from pretrain.hooks.collapse import CollapseHook
from pretrain.hooks.throughput import ThroughputHook
from pretrain.structures import Batch, Views

BACKBONE = dict(type="TimmBackbone", name="test_resnet")
OFF = dict(smoothing=0.0, mixup=0.0, cutmix=0.0, erase=0.0)


def make(**options: Any) -> Finetuner:
    """Returns a small model, the same at every call."""
    torch.manual_seed(0)
    return Finetuner(BACKBONE, ["a", "b", "c", "d"], **options)


def make_batch(images: torch.Tensor, first: int = 7) -> Batch:
    """Returns a normalised batch with labels 0, 1, 2, 3, 0, …"""
    views = Views(images[:, None], torch.zeros(len(images), 1, 2, 3, dtype=torch.float64))
    return Batch(
        {"global": views}, torch.arange(len(images)) % 4, torch.arange(first, first + len(images))
    )


def constant(count: int = 8, size: int = 32) -> torch.Tensor:
    """Returns images (count, 3, size, size), the i-th full of the value i."""
    return (
        torch.arange(count, dtype=torch.float32)
        .view(-1, 1, 1, 1)
        .expand(-1, 3, size, size)
        .contiguous()
    )


def test_without_augmentation_the_loss_is_cross_entropy() -> None:
    model = make(**OFF).eval()
    batch = make_batch(torch.randn(8, 3, 32, 32))
    torch.nn.init.normal_(model.head.linear.weight)
    logits = model.head(model.backbone(batch.views["global"].images[:, 0]))
    terms = model(batch)
    torch.testing.assert_close(terms["loss"], F.cross_entropy(logits, batch.labels))
    assert terms["top1"].item() == (logits.argmax(1) == batch.labels).float().mean().item()


def test_smoothing() -> None:
    _, targets = make(**OFF | dict(smoothing=0.2)).augmented(make_batch(constant()))
    expected = torch.full((8, 4), 0.05) + 0.8 * F.one_hot(torch.arange(8) % 4, 4)
    torch.testing.assert_close(targets, expected)


def test_mixup_mixes_pixels_and_targets_alike() -> None:
    """Image i is full of i and its partner 7 − i: the share can be read off the pixels."""
    images, targets = make(**OFF | dict(mixup=0.8)).augmented(make_batch(constant()))
    values = images[:, 0, 0, 0]
    assert torch.equal(images, values.view(-1, 1, 1, 1).expand_as(images))
    share = (values[7] - 0) / 7  # of itself, in the last image: λ·7 + (1 − λ)·0
    assert 0 < share < 1
    one_hot = F.one_hot(torch.arange(8) % 4, 4).float()
    torch.testing.assert_close(
        values, share * torch.arange(8) + (1 - share) * torch.arange(7, -1, -1)
    )
    torch.testing.assert_close(targets, share * one_hot + (1 - share) * one_hot.flip(0))


def test_cutmix_targets_are_the_areas() -> None:
    images, targets = make(**OFF | dict(cutmix=1.0)).augmented(make_batch(constant()))
    own = (images == constant()).all(1).float().mean((1, 2))  # of image i, since i and 7 − i differ
    assert 0 < own[0] < 1 and torch.equal(own, own[:1].expand(8))
    one_hot = F.one_hot(torch.arange(8) % 4, 4).float()
    torch.testing.assert_close(targets, own[0] * one_hot + (1 - own[0]) * one_hot.flip(0))


def test_erasing_leaves_noise_in_some_images() -> None:
    images, _ = make(**OFF | dict(erase=0.5)).augmented(make_batch(10 + constant(64)))
    changed = (images != 10 + constant(64)).any(1).float().mean((1, 2))
    assert 16 < (changed > 0).sum() < 48 and changed.max() <= 0.36


def test_draws_depend_on_seed_step_and_batch_only() -> None:
    """The same again whatever was drawn before; another at the next step and in another batch of
    the step.
    """
    model = make(mixup=0.8, cutmix=1.0, erase=0.0)
    first = model.augmented(make_batch(constant()))[1]
    random.random(), np.random.rand()
    assert torch.equal(model.augmented(make_batch(constant()))[1], first)
    assert not torch.equal(model.augmented(make_batch(constant(), first=8))[1], first)
    model.after_step(0.1)
    assert not torch.equal(model.augmented(make_batch(constant()))[1], first)


def test_the_batch_itself_is_left_alone() -> None:
    batch = make_batch(constant())
    make().augmented(batch)
    assert torch.equal(batch.views["global"].images[:, 0], constant())


def test_generators_come_back() -> None:
    random.seed(1), np.random.seed(1)
    expected = random.random(), np.random.rand()
    random.seed(1), np.random.seed(1)
    with seeded(5):
        inside = random.random(), np.random.rand()
    with seeded(5):
        assert inside == (random.random(), np.random.rand()) != expected
    assert (random.random(), np.random.rand()) == expected


def test_views_are_a_function_of_the_plan() -> None:
    recipe = TRANSFORMS.build(dict(type="FinetuneViews", size=32))
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    plans = [recipe.plan(60, 80, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    made = [recipe.render(image, plan)["global"] for plan in plans]
    assert made[0].images.shape == (1, 3, 32, 32) and made[0].images.dtype == torch.uint8
    assert made[0].geometry.shape == (1, 2, 3) and made[0].photometric is None
    assert torch.equal(made[0].images, made[1].images) and not torch.equal(
        made[0].images, made[2].images
    )


def test_randaugment_changes_the_pixels_and_none_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    whole = dict(size=32, scale=(1, 1), ratio=(1, 1), flip=0.0)
    plain, augmented = FinetuneViews(**whole, randaugment=None), FinetuneViews(**whole)
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    generators = [np.random.default_rng(seed) for seed in range(10)]
    made = [
        [r.render(image, r.plan(32, 32, g))["global"].images for g in generators]
        for r in (plain, augmented)
    ]
    assert all(torch.equal(view, pixels) for view in made[0])
    assert sum(not torch.equal(view, pixels) for view in made[1]) >= 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(drop_path=1.0), "drop_path"),
        (dict(mixup=-1), "mixup=-1"),
        (dict(crop_fraction=0), "crop_fraction=0"),
    ],
)
def test_illegal_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_illegal_views() -> None:
    with pytest.raises(ValueError, match="randaugment='rnd-m9'"):
        FinetuneViews(randaugment="rnd-m9")
    with pytest.raises(ValueError, match="size=0"):
        FinetuneViews(size=0)


def test_hooks_that_ask_for_more_than_a_classifier_has_are_refused() -> None:
    model = make(**OFF)
    with pytest.raises(
        ConfigError, match="CollapseHook asks the model for group, weights, term_name"
    ):
        check_hooks([CollapseHook()], model)
    check_hooks([ThroughputHook(), NonFiniteHook()], model)
