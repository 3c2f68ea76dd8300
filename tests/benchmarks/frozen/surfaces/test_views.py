"""Views: sizes, frames, crops, mirrors, turns and colours of an image whose pixels tell their
place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.data.pairs import View
from benchmarks.frozen.surfaces.depth import Settings
from benchmarks.frozen.surfaces.views import (
    fitted,
    recoloured,
    scored_batches,
    train_batches,
    turned,
)

ROWS, COLUMNS = 40, 60


class Places:
    """Images whose red is the row, green the column, blue the image; labels say the same."""

    def __len__(self) -> int:
        return 3

    def name(self, index: int) -> str:
        return f"{index}.png"

    def load(self, index: int) -> View:
        rows, columns = np.mgrid[:ROWS, :COLUMNS]
        image = np.stack([rows, columns, np.full_like(rows, index)], -1).astype(np.uint8)
        return image, (1000 * index + 100 * rows + columns).astype(np.float32)


def settings_of(**changes: Any) -> Settings:
    return Settings(**dict(size=(ROWS, COLUMNS), steps=6, warmup_steps=0, flip=0.0) | changes)


def same(labels: np.ndarray) -> np.ndarray:
    return labels


def agree(image: np.ndarray, labels: np.ndarray) -> bool:
    image = image.astype(np.float32)
    return bool((labels == 1000 * image[..., 2] + 100 * image[..., 0] + image[..., 1]).all())


@pytest.mark.parametrize(
    ("sizing", "size", "corner"),
    [
        ("refuse", (40, 60), (0, 0)),
        ("centre", (20, 31), (10, 14)),
        ("bottom", (20, 31), (20, 14)),
    ],
)
def test_images_are_brought_to_size(sizing: str, size: tuple[int, int], corner: Any) -> None:
    image, labels = fitted(Places(), 2, settings_of(sizing=sizing, size=size))
    assert labels.shape == size and tuple(image[0, 0, :2]) == corner and agree(image, labels)


def test_the_bottom_is_kittis_crop() -> None:
    class Kitti(Places):
        def load(self, index: int) -> View:
            return np.zeros((375, 1242, 3), np.uint8), np.arange(375 * 1242.0).reshape(375, 1242)

    _, labels = fitted(Kitti(), 0, settings_of(sizing="bottom", size=(352, 1216)))
    assert labels.shape == (352, 1216) and labels[0, 0] == (375 - 352) * 1242 + 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(size=(40, 64)), r"0\.png has 40 × 60 pixels, but size=\(40, 64\); sizing=resize"),
        (dict(size=(40, 64), sizing="centre"), "sizing=centre cuts size out of larger images only"),
    ],
)
def test_another_size_is_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(Places(), 0, settings_of(**changes))


def test_train_views_are_crops_of_the_frame_and_cover_it() -> None:
    settings = settings_of(
        train_frame=(5, 6, 35, 50), crop_size=(20, 24), flip=0.5, images_per_step=4, steps=50
    )
    tops, lefts, mirrored = set(), set(), 0
    for images, labels in train_batches(Places(), settings, mirror=same):
        assert images.shape == (4, 3, 20, 24) and labels.shape == (4, 20, 24)
        for image, label in zip(images.permute(0, 2, 3, 1).numpy(), labels.numpy(), strict=True):
            assert agree(image, label)
            tops.add(int(image[0, 0, 0]))
            lefts.add(int(image[0, :, 1].min()))
            mirrored += int(image[0, 0, 1] > image[0, 1, 1])
    assert tops == set(range(5, 16)) and lefts == set(range(6, 27)) and 70 < mirrored < 130


def test_views_follow_from_the_seed() -> None:
    def stream(**changes: Any) -> list[torch.Tensor]:
        changed = settings_of(crop_size=(20, 24), images_per_step=2, colour=0.5, **changes)
        return [images for images, _ in train_batches(Places(), changed, mirror=same)]

    first, again, other = stream(), stream(), stream(seed=1)
    assert all(map(torch.equal, first, again)) and not all(map(torch.equal, first, other))


def test_epochs_are_permutations() -> None:
    settings = settings_of(images_per_step=2)
    images = torch.cat([batch for batch, _ in train_batches(Places(), settings, mirror=same)])
    order = images[:, 2, 0, 0].tolist()  # 6 steps of 2: four epochs of 3
    assert [sorted(order[start : start + 3]) for start in range(0, 12, 3)] == [[0, 1, 2]] * 4
    assert len({tuple(order[start : start + 3]) for start in range(0, 12, 3)}) > 1


def test_turning_moves_image_and_labels_alike() -> None:
    image, labels = Places().load(0)
    turned_image, turned_labels = turned((image, labels), 10.0)
    assert turned_labels.dtype == np.float32 and turned_image.shape == image.shape
    assert turned_labels[0, 0] == 0 and not turned_image[0, 0].any()
    inside = turned_labels[10:30, 15:45]
    assert np.abs(inside // 100 - turned_image[10:30, 15:45, 0]).max() <= 2
    row, column = divmod(float(turned_labels[20, 50]), 100)  # counter-clockwise, as Pillow turns
    assert row > 20 and abs(column - 50) < 3


def test_colours_stay_in_range_and_change_with_each_draw() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, -1)
    rng = np.random.default_rng(0)
    changed = recoloured(image, settings_of(), rng)
    assert changed.dtype == np.uint8 and changed[0, 0].tolist() == [0, 0, 0]
    assert (np.diff(changed.reshape(-1, 3).astype(int), axis=0) >= 0).all()
    assert len(set(changed[8, 8].tolist())) > 1  # a tint
    still = settings_of(gamma=(1, 1), brightness=(1, 1), tint=(1, 1))
    assert (recoloured(image, still, rng) == image).all()


def test_scored_batches_are_the_whole_part_in_order() -> None:
    batches = list(scored_batches(Places(), settings_of(batch_size=2)))
    assert [batch.ids for batch in batches] == [[0, 1], [2]]
    assert batches[1].images.shape == (1, 3, ROWS, COLUMNS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(size=(40,)), "size="),
        (dict(sizing="crop"), "sizing='crop' is not one of"),
        (dict(crop_size=(41, 20)), r"within train views of 40 × 60"),
        (dict(train_frame=(0, 0, 41, 60)), "train_frame=.* within an image of 40 × 60"),
        (dict(scored=(3, 3, 2, 9)), "scored="),
        (dict(images_per_step=3, images_per_loss=2), "must be a multiple of images_per_loss=2"),
        (dict(warmup_steps=7), "warmup_steps=7 must be at most steps=6"),
        (dict(flip=1.5), r"flip=1.5 must be in \[0, 1\]"),
        (dict(gamma=(1.1, 0.9)), "gamma="),
        (dict(min_depth=0.0), "must be positive metres in this order"),
        (dict(lr=0), "lr=0 must be greater than 0"),
        (dict(bins=1), "bins=1 must be at least 2"),
        (dict(rotate=-1.0), "rotate=-1.0 must not be negative"),
    ],
)
def test_illegal_settings_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        settings_of(**changes)
