"""Views of training and test: geometry, colours, coins."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.linear_segmentation.photometric import Distortion, distort, draw
from benchmarks.frozen.linear_segmentation.settings import Settings
from benchmarks.frozen.linear_segmentation.views import (
    batch_coin,
    crop_place,
    scored_mask,
    scored_view,
    train_view,
)

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (30, 45, 3), dtype=np.uint8)
LABELS = RNG.integers(0, 4, (30, 45)).astype(np.int16)
FILL = np.array([0.25, 0.5, 0.75], np.float32)
PLAIN = Settings(
    size=(24, 24),
    short_side=24,
    window_stride=16,
    ratio=(1, 1),
    largest_share=1.0,
    flip=0.0,
    photometric=False,
)


def view(settings: Settings, key: tuple[int, int] = (0, 0)) -> tuple[np.ndarray, np.ndarray, bool]:
    return train_view(IMAGE, LABELS, key=key, fill=FILL, settings=settings)


def test_a_ratio_crop_is_a_part_of_the_resized_image() -> None:
    image, labels, mirrored = view(PLAIN)
    whole = np.asarray(Image.fromarray(IMAGE).resize((36, 24), Image.Resampling.BILINEAR)) / 255
    places = []
    for left in range(13):
        if np.allclose(whole[:, left : left + 24], image, atol=1e-6):
            places.append(left)
    assert len(places) == 1 and not mirrored and image.dtype == np.float32
    columns = ((np.arange(36) + 0.5) * 45 / 36).astype(int)[places[0] :][:24]
    rows = ((np.arange(24) + 0.5) * 30 / 24).astype(int)
    assert np.array_equal(labels, LABELS[rows[:, None], columns])


def test_a_small_image_is_padded_right_and_below_with_the_networks_mean() -> None:
    image, labels, _ = view(replace(PLAIN, short_side=12, size=(24, 24)))
    assert image.shape == (24, 24, 3) and labels.shape == (24, 24)
    assert (image[12:] == FILL).all() and (image[:, 18:] == FILL).all()
    assert (labels[12:] == IGNORE).all() and (labels[:, 18:] == IGNORE).all()
    assert (labels[:12, :18] >= 0).all() and not (image[:12, :18] == FILL).all(-1).any()


def test_ratios_are_spread_evenly_and_rounded_down() -> None:
    settings = replace(PLAIN, short_side=20, size=(60, 90), ratio=(0.5, 2.0))
    sides = []
    for image in range(400):
        labels = view(settings, (0, image))[1]
        sides.append(int((labels != IGNORE).any(1).sum()))
    assert min(sides) == 10 and max(sides) == 39
    assert np.mean(sides) == pytest.approx(24.5, abs=1.5)
    assert view(settings, (0, 7))[1].tolist() == view(settings, (0, 7))[1].tolist()
    assert view(settings, (1, 7))[1].shape == (60, 90)


def test_the_long_side_is_limited_by_the_same_ratio() -> None:
    settings = replace(PLAIN, short_side=20, long_side=24, size=(60, 90), ratio=(2.0, 2.0))
    labels = view(settings)[1]
    assert int((labels != IGNORE).any(0).sum()) == 48  # twice 24, not 60
    assert int((labels != IGNORE).any(1).sum()) == 32


def test_crops_avoid_one_large_class() -> None:
    labels = np.zeros((40, 40), np.int16)
    labels[:, 36:] = 1
    shares = Counter()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        top, left = crop_place(labels, (10, 10), rng, largest_share=0.75)
        shares[left >= 29] += 1  # at least three of ten columns of class 1
    # One draw has it with probability 2/31, eleven tries, the last one taken as it is, with .52.
    assert shares[True] / 200 == pytest.approx(1 - (1 - 2 / 31) ** 11, abs=0.1)
    anywhere = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        anywhere.add(crop_place(labels, (10, 10), rng, largest_share=1.0)[1])
    assert anywhere == set(range(31))
    ignored = np.full((12, 9), IGNORE, np.int16)
    place = crop_place(ignored, (10, 10), np.random.default_rng(0), largest_share=0.75)
    assert place[1] == 0 and 0 <= place[0] <= 2


def test_an_area_crop_has_the_asked_share() -> None:
    settings = replace(PLAIN, train_view="area-crop", area=(0.8, 1.0))
    image, labels, _ = view(settings)
    assert image.shape == (24, 24, 3) and image.dtype == np.uint8 and labels.shape == (24, 24)


def test_a_central_view_by_torchvisions_rule() -> None:
    settings = replace(
        PLAIN, rounding="down", train_view="centre", test_view="centre", size=(22, 22)
    )
    image, labels, _ = view(settings)
    whole = np.asarray(Image.fromarray(IMAGE).resize((36, 24), Image.Resampling.BILINEAR))
    assert np.array_equal(image, whole[1:23, 7:29])
    exact = F.interpolate(
        torch.from_numpy(LABELS)[None, None].float(), (24, 36), mode="nearest-exact"
    )
    assert np.array_equal(labels, exact[0, 0, 1:23, 7:29].numpy())
    tested = scored_view(IMAGE, LABELS, settings)
    assert np.array_equal(tested[0], image) and np.array_equal(tested[1], labels)


def test_masks_at_a_side_of_their_own_are_torchs_nearest() -> None:
    settings = replace(PLAIN, train_view="squash", test_view="squash", mask_side=10)
    for old in (LABELS, LABELS[:, :10]):
        expected = F.interpolate(
            torch.from_numpy(old)[None, None].float(), (10, 10), mode="nearest"
        )
        assert np.array_equal(scored_mask(old, settings), expected[0, 0].numpy())
    image, labels, _ = view(settings)
    assert image.shape == (24, 24, 3) and labels.shape == (10, 10)
    assert scored_view(IMAGE, LABELS, settings)[1].shape == (10, 10)


def test_masks_are_not_resized_where_their_own_size_counts() -> None:
    image, labels = scored_view(IMAGE, LABELS, replace(PLAIN, short_side=48))
    assert image.shape == (48, 72, 3) and labels is LABELS


def test_coins() -> None:
    settings = replace(PLAIN, flip=0.5)
    own = [view(settings, (0, image))[2] for image in range(400)]
    shared = [batch_coin(settings, iteration) for iteration in range(400)]
    assert 160 < sum(own) < 240 and 160 < sum(shared) < 240 and own != shared
    assert not any(view(PLAIN, (0, image))[2] for image in range(20))


def test_distortions_come_with_probability_one_half() -> None:
    drawn = [draw(np.random.default_rng(seed), 0.1) for seed in range(2000)]
    limits = dict(
        brightness=(-32 / 255, 32 / 255),
        contrast=(0.5, 1.5),
        saturation=(0.5, 1.5),
        hue=(-0.1, 0.1),
    )
    for name, (low, high) in limits.items():
        values = [v for v in (getattr(d, name) for d in drawn) if v is not None]
        assert len(values) / 2000 == pytest.approx(0.5, abs=0.05)
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    assert sum(d.contrast_last for d in drawn) / 2000 == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("distortion", "expected"),
    [
        (Distortion(), [0.2, 0.4, 0.6]),
        (Distortion(brightness=0.5), [0.7, 0.9, 1.0]),
        (Distortion(contrast=1.5), [0.3, 0.6, 0.9]),
        (Distortion(saturation=0.5), [0.4, 0.5, 0.6]),  # HSV keeps its value
        (Distortion(hue=1 / 3), [0.6, 0.2, 0.4]),
        (Distortion(hue=-2 / 3), [0.6, 0.2, 0.4]),
        (Distortion(saturation=1.5, contrast=1.5), [0.0, 0.45, 0.9]),
        (Distortion(brightness=-0.3, contrast=1.5), [0.0, 0.15, 0.45]),
    ],
)
def test_colours(distortion: Distortion, expected: list[float]) -> None:
    image = np.array([[[0.2, 0.4, 0.6]]], np.float32)
    np.testing.assert_allclose(distort(image, distortion)[0, 0], expected, atol=1e-6)
    assert image.tolist() == np.array([[[0.2, 0.4, 0.6]]], np.float32).tolist()


def test_contrast_before_and_after_the_hue_are_different() -> None:
    image = np.array([[[0.2, 0.4, 0.9]]], np.float32)
    first = distort(image, Distortion(contrast=1.5, saturation=0.5))
    last = distort(image, Distortion(contrast=1.5, saturation=0.5, contrast_last=True))
    np.testing.assert_allclose(first[0, 0], [0.65, 0.8, 1.0], atol=1e-6)
    np.testing.assert_allclose(last[0, 0], [0.825, 0.975, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(train_view="crop"), "train_view='crop' is not one of"),
        (dict(schedule="cosine20"), "did you mean 'cosine-20'"),
        (dict(lr=0.0), "lr=0.0 must be greater than 0"),
        (dict(hue=-0.1), "hue=-0.1 must not be negative"),
        (dict(dropout=1.0), r"dropout=1.0 must be in \[0, 1\)"),
        (dict(ratio=(2.0, 0.5)), r"ratio=\(2.0, 0.5\) must be two positive numbers, the smaller"),
        (dict(area=(0.5, 1.5)), r"area=.* at most 1"),
        (dict(scales=()), r"scales=\(\) must be one or more"),
        (dict(drops=(0,)), r"drops=\(0,\) must be epochs from 1"),
        (dict(size=(0, 2)), r"size=\(0, 2\) must be two positive numbers"),
        (dict(test_view="squash", scales=(1.0, 2.0)), "only test_view='own' has several sizes"),
        (dict(train_view="centre", short_side=10), "a centre crop cannot be larger than short_sid"),
        (dict(window_stride=25), "window_stride=25 is more than the shorter side of size=.24, 24."),
        (dict(spare_outputs=1), "spare_outputs=1: .* set absent_as_zero=True"),
    ],
)
def test_settings_are_checked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_the_course_of_a_training() -> None:
    epochs = replace(PLAIN, length=20, length_in="epochs", warmup=0, images_per_step=2)
    course = epochs.course(1463)
    assert (course.iterations, course.per_epoch) == (14_640, 732)
    assert PLAIN.course(20_210).iterations == 40_000
    with pytest.raises(ValueError, match="warmup=1500 must be shorter than training, 100 iter"):
        replace(PLAIN, length=100).course(6)
    with pytest.raises(ValueError, match="evaluations=8: training has 3 iterations only"):
        replace(PLAIN, length=3, warmup=0, evaluations=8).course(6)
