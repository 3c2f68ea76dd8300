"""Depth maps: where they lie, what their values mean, and errors that say what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import DepthFolder

DEPTH = np.array([[0, 1], [1500, 65_535]], np.uint16)


def make_scenes(root: Path) -> None:
    for split, shade in (("train", 90), ("val", 110)):
        for kind in ("images", "depth"):
            (root / kind / split).mkdir(parents=True)
        Image.fromarray(np.full((2, 2, 3), shade, np.uint8)).save(root / "images" / split / "a.jpg")
        Image.fromarray(DEPTH).save(root / "depth" / split / "a.png")


def test_scenes_and_plain_layout_read_millimetres(tmp_path: Path) -> None:
    make_scenes(tmp_path)
    for options in (dict(layout="scenes"), dict(layout="plain", images="images/{split}", depth="depth/{split}")):
        image, depth = DepthFolder(tmp_path, **options).val.load(0)
        assert image.shape == (2, 2, 3) and depth.dtype == np.float32
        np.testing.assert_allclose(depth, [[0, 0.001], [1.5, 65.535]], rtol=1e-7)


def test_generated_scenes_are_read(tmp_path: Path) -> None:
    from pretrain.data.scenes.write import write_scenes

    write_scenes(tmp_path, images=5, size=32, seed=0, workers=1)
    depth = DepthFolder(tmp_path, "scenes").train.load(0)[1]
    assert depth.shape == (32, 32) and 1.2 <= depth.min() < depth.max() <= 7.2  # docs/scenes.md


def test_resizing_keeps_depths_that_occur_and_batches_are_metres(toy_depth: Any) -> None:
    split = toy_depth().train
    batch = next(split.batches((24, 24), 4))
    assert batch.images.shape == (4, 3, 24, 24) and batch.masks.shape == (4, 24, 24)
    for row in range(4):
        assert set(batch.masks[row].unique().tolist()) <= set(np.unique(split.load(row)[1]).tolist())


def test_protocol_follows_content_not_place(toy_root: Path, toy_depth: Any, tmp_path: Path) -> None:
    shutil.copytree(toy_root, tmp_path / "copy")
    options = dict(images="images/{split}", depth="depth/{split}")
    assert DepthFolder(tmp_path / "copy", "plain", **options).protocol == toy_depth().protocol
    Image.fromarray(DEPTH.repeat(20, 0).repeat(24, 1)).save(tmp_path / "copy" / "depth" / "val" / "000.png")
    changed = DepthFolder(tmp_path / "copy", "plain", **options).protocol
    assert changed["val_content"] != toy_depth().protocol["val_content"]
    assert toy_depth(every=(2, 1)).protocol["train_images"] == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda p: Image.fromarray(np.ones((2, 2), np.uint8)).save(p),
            r"a\.png is a L image; .* one channel of 16 bits",
        ),
        (lambda p: Image.fromarray(np.ones((2, 3), np.uint16)).save(p), r"a\.png is 3x2 pixels, its image .* is 2x2"),
        (lambda p: p.write_bytes(b"x"), "not readable as a depth map"),
        (lambda p: p.unlink(), r"1 images without depth map \['a'\]"),
        (lambda p: shutil.rmtree(p.parent), "no folder .* with the depth maps of split 'val'"),
    ],
)
def test_errors_name_file_and_cure(change: Any, message: str, tmp_path: Path) -> None:
    make_scenes(tmp_path)
    change(tmp_path / "depth" / "val" / "a.png")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        DepthFolder(tmp_path, "scenes").val.load(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(layout="scene"), "layout='scene' is not one of scenes, plain; did you mean 'scenes'"),
        (dict(layout="scenes", depth="d"), r"unknown \['depth'\]"),
        (dict(layout="plain", images="i"), r"missing \['depth'\], unknown \[\]"),
        (dict(layout="scenes", every=(0, 1)), r"every=\(0, 1\): must be"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        DepthFolder(tmp_path, **arguments)
