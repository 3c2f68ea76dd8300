"""Depth maps: where they lie, what their values mean, and errors that say what is wrong."""

from __future__ import annotations

import shutil
import warnings
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
    for options in (
        dict(layout="scenes"),
        dict(layout="plain", images="images/{split}", depth="depth/{split}"),
    ):
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
        assert set(batch.masks[row].unique().tolist()) <= set(
            np.unique(split.load(row)[1]).tolist()
        )


def test_protocol_follows_content_not_place(toy_root: Path, toy_depth: Any, tmp_path: Path) -> None:
    shutil.copytree(toy_root, tmp_path / "copy")
    options = dict(images="images/{split}", depth="depth/{split}")
    assert DepthFolder(tmp_path / "copy", "plain", **options).protocol == toy_depth().protocol
    Image.fromarray(DEPTH.repeat(20, 0).repeat(24, 1)).save(
        tmp_path / "copy" / "depth" / "val" / "000.png"
    )
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
        (
            lambda p: Image.fromarray(np.ones((2, 3), np.uint16)).save(p),
            r"a\.png is 3x2 pixels, its image .* is 2x2",
        ),
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
        (
            dict(layout="scene"),
            "layout='scene' is not one of scenes, plain, .*; did you mean 'scenes'",
        ),
        (dict(layout="scenes", depth="d"), r"options \['depth'\] belong to layout='plain'"),
        (dict(layout="plain", images="i"), r"needs images= and depth=; missing \['depth'\]"),
        (dict(layout="scenes", every=(0, 1)), r"every=\(0, 1\): must be"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        DepthFolder(tmp_path, **arguments)


def make_plain(root: Path, write: Any, suffix: str, **options: Any) -> DepthFolder:
    for split, shade in (("train", 90), ("val", 110)):
        for kind in ("rgb", "d"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((2, 2, 3), shade, np.uint8)).save(root / "rgb" / split / "a.jpg")
        write(root / "d" / split / f"a{suffix}")
    return DepthFolder(root, "plain", images="rgb/{split}", depth="d/{split}", **options)


KITTI = np.array([[0, 256], [21_734, 5_000]], np.uint16)
METRES = np.array([[0, 1], [84.898, 19.531]])


def write_pgm(path: Path) -> None:
    path.write_bytes(b"P5 2 2 30000\n" + KITTI.astype(">u2").tobytes())


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".png", lambda p: Image.fromarray(KITTI).save(p)),
        (".tif", lambda p: Image.fromarray(KITTI).save(p)),
        (".pgm", write_pgm),
        (".npy", lambda p: np.save(p, KITTI)),
        (".npy", lambda p: np.save(p, KITTI.astype(np.float64))),
    ],
)
def test_values_per_metre_of_every_format(suffix: str, write: Any, tmp_path: Path) -> None:
    data = make_plain(tmp_path, write, suffix, scale=256)
    np.testing.assert_allclose(data.val.load(0)[1], METRES, atol=1e-3)
    assert data.protocol["scale"] == 256
    if suffix == ".png":
        before = make_plain(tmp_path, write, suffix)
        np.testing.assert_allclose(
            before.val.load(0)[1].max(), 21.734
        )  # what is documented of KITTI read as mm
        assert "scale" not in before.protocol
        assert (
            make_plain(tmp_path, write, suffix, scale=1000).val.load(0)[1].tolist()
            == before.val.load(0)[1].tolist()
        )


@pytest.mark.parametrize("suffix", [".npy", ".tif", ".pfm"])
def test_floats_are_metres_and_what_is_no_depth_is_not_known(suffix: str, tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf], [-1, 2.5]], np.float32)

    def write(path: Path) -> None:
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".tif":
            Image.fromarray(values).save(path)
        else:  # rows from below, a negative scale for little endian
            path.write_bytes(b"Pf\n2 2\n-1.0\n" + values[::-1].astype("<f4").tobytes())

    assert make_plain(tmp_path, write, suffix).val.load(0)[1].tolist() == [[0, 0], [0, 2.5]]
    assert make_plain(tmp_path, write, suffix, scale=10).val.load(0)[1].tolist() == [
        [0, 0],
        [0, 0.25],
    ]


def test_eight_bits_need_a_scale(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        Image.fromarray(np.array([[0, 51], [102, 255]], np.uint8)).save(path)

    with pytest.raises(ValueError, match=r"a\.png is a L image; .* 8 bits need scale="):
        make_plain(tmp_path, write, ".png")
    np.testing.assert_allclose(
        make_plain(tmp_path, write, ".png", scale=25.5).val.load(0)[1], [[0, 2], [4, 10]]
    )

    def palette(path: Path) -> None:
        Image.fromarray(np.zeros((2, 2), np.uint8)).convert("P").save(path)

    with pytest.raises(ValueError, match=r"a\.png is a P image; a depth map must be one channel"):
        make_plain(tmp_path, palette, ".png", scale=25.5)


def test_a_median_that_no_scene_has_is_told(tmp_path: Path) -> None:
    def metres(path: Path) -> None:
        Image.fromarray(np.array([[3, 5], [8, 20]], np.uint16)).save(path)

    with pytest.warns(
        UserWarning, match=r"the median depth of .*a\.png is 0\.0065 m; .* scale= .* 256 for KITTI"
    ):
        make_plain(tmp_path, metres, ".png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_plain(tmp_path, metres, ".png", scale=1)


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf"), True, "256"])
def test_illegal_scales(scale: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError,
        match="scale=.*: must be a positive number, the values per metre: 1000 for milli",
    ):
        make_plain(tmp_path, lambda p: Image.fromarray(KITTI).save(p), ".png", scale=scale)


def test_a_part_without_a_known_depth_is_refused(tmp_path: Path) -> None:
    make_scenes(tmp_path)
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "depth/val/a.png")
    with pytest.raises(ValueError, match="no depth is known: all maps of the val part"):
        DepthFolder(tmp_path, "scenes")


def test_depth_maps_of_another_size_are_resized_if_asked(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        Image.fromarray(np.array([[1500]], np.uint16)).save(path)

    with pytest.raises(ValueError, match="or be given it by resize_depth=True"):
        make_plain(tmp_path, half, ".png")
    data = make_plain(tmp_path, half, ".png", resize_depth=True)
    np.testing.assert_allclose(data.val.load(0)[1], np.full((2, 2), 1.5))
    assert data.protocol["resize_depth"] is True
