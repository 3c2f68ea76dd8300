"""Two parts that share an image are refused by every reader, whatever the image is called."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmarks.data import ClassFolder, DepthFolder, KeypointPairs, SegmentationFolder
from benchmarks.data.parts import shared_images
from benchmarks.data.prepare.segmentation import write_ade

TOY = dict(masks="masks/{split}", classes=3, ignore=255)


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_copies_and_links_are_recognised_and_nothing_else_is(tmp_path: Path) -> None:
    long = bytes(range(256)) * 40  # longer than the tail that is compared first
    train = [
        write(tmp_path / "train" / f"{i}", content)
        for i, content in enumerate((long, b"ab", b"", b"xy"))
    ]
    val = {
        "same tail, other head": b"z" + long[1:],
        "same size": b"ba",
        "empty": b"",
        "copy": b"ab",
        "long copy": long,
    }
    files = [write(tmp_path / "val" / name, content) for name, content in val.items()]
    assert shared_images(train, files) == [(files[3], train[1]), (files[4], train[0])]
    for link in (os.symlink, os.link):
        linked = tmp_path / "val" / link.__name__
        link(train[3], linked)
        assert shared_images(train, [linked, files[1]]) == [(linked, train[3])]
    assert shared_images([], files) == shared_images(train, []) == []


@pytest.mark.parametrize("reader", ["segmentation", "depth"])
def test_one_folder_for_both_parts_is_refused(reader: str, toy_root: Path) -> None:
    def open_data(**options: Any) -> Any:
        if reader == "depth":
            return DepthFolder(
                toy_root, "plain", depth=options["images"].replace("images", "depth"), **options
            )
        return SegmentationFolder(
            toy_root,
            "plain",
            classes=3,
            ignore=255,
            masks=options["images"].replace("images", "masks"),
            **options,
        )

    for options in (dict(images="images/train"), dict(images="images/{split}", val="train")):
        words = r"6 of the 6 val images are train images, too, .*000\.png\. To cure it, .*\{split\}"
        with pytest.raises(ValueError, match=words):
            open_data(**options)
        accepted = open_data(**options, allow_shared=True)
        assert accepted.protocol["shared_images"] == 6
    clean = open_data(images="images/{split}").protocol
    assert "shared_images" not in clean
    assert open_data(images="images/{split}", allow_shared=True).protocol == clean


def test_one_shared_image_is_named(
    toy_root: Path, tmp_path: Path, toy_data: Callable[..., Any]
) -> None:
    root = shutil.copytree(toy_root, tmp_path / "data")
    shutil.copy(root / "images/train/002.png", root / "images/val/001.png")
    with pytest.raises(
        ValueError, match=r"1 of the 4 val images .*val/001\.png, which is .*train/002\.png"
    ):
        SegmentationFolder(root, "plain", images="images/{split}", **TOY)
    # What was not chosen is in no part.
    data = SegmentationFolder(root, "plain", images="images/{split}", **TOY, every=(1, 2))
    assert "shared_images" not in data.protocol


def test_class_folders_are_refused_given_or_drawn(image_folder: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        shutil.copytree(image_folder, tmp_path / "given" / part)
    with pytest.raises(
        ValueError, match=r"24 of the 24 val images .*blue/000\.jpg.* move the copies"
    ):
        ClassFolder(tmp_path / "given")
    assert ClassFolder(tmp_path / "given", allow_shared=True).protocol["shared_images"] == 24
    with pytest.raises(ValueError, match="24 of the 24 val images"):
        ClassFolder(tmp_path / "given", val="train")
    drawn = shutil.copytree(image_folder, tmp_path / "drawn")
    for file in sorted((drawn / "red").iterdir()):
        shutil.copy(file, file.with_name(f"copy_{file.name}"))
    with pytest.raises(ValueError, match="delete all but one of each image's copies"):
        ClassFolder(drawn)


def test_a_pair_of_an_image_with_itself_is_refused(
    tmp_path: Path, write_willow: Callable[[Path], Path]
) -> None:
    root = write_willow(tmp_path)
    clean = KeypointPairs(root).protocol
    for name in ("bottle/0", "car(S)/2"):
        savemat(root / f"{name}.mat", dict(pts_coord=np.ones((2, 4))))
    shutil.copy(
        root / "car(S)/0.png", root / "bottle/0.png"
    )  # in another subset: no pair of the two
    assert "shared_images" not in KeypointPairs(root).protocol
    shutil.copy(root / "car(S)/0.png", root / "car(S)/2.png")
    with pytest.raises(ValueError, match=r"car\(S\)/2\.png is a copy of .*car\(S\)/0\.png"):
        KeypointPairs(root)
    assert KeypointPairs(root, allow_shared=True).protocol["shared_images"] == 1
    assert KeypointPairs(write_willow(tmp_path / "again"), allow_shared=True).protocol == clean


def test_data_rewritten_for_fine_tuning_are_checked_too(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for folder, value in ((part, 90), (f"{part}annot", 3)):
            path = tmp_path / "camvid" / folder / "a.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)
    (tmp_path / "out").mkdir()
    with pytest.raises(
        ValueError,
        match="1 of the 1 val images are train images, too, .* remove them from one part",
    ):
        write_ade(tmp_path / "camvid", tmp_path / "out", layout="camvid")
    assert not list((tmp_path / "out").iterdir())
