"""What --check prints of a source."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pretrain.data import CocoImages, FileList, FramePairs, ImageFolder, RandomLabels
from pretrain.data.describe import describe_source
from pretrain.names import printable


def make_files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_classes_with_counts_and_a_sample(tmp_path: Path) -> None:
    make_files(tmp_path, "cat/1.jpg", "dog/1.jpg", "dog/2.jpg")
    contents, files = describe_source(ImageFolder(tmp_path)).splitlines()
    assert contents == "2 classes (images): cat 1, dog 2"
    assert files == f"for example {tmp_path}/cat/1.jpg, {tmp_path}/dog/1.jpg, {tmp_path}/dog/2.jpg"


def test_many_classes_are_summed_up(tmp_path: Path) -> None:
    folders = [f"c{i:02d}/{k}.jpg" for i in range(11) for k in range(i + 1)]
    text = describe_source(ImageFolder(make_files(tmp_path, *folders)))
    assert text.startswith("11 classes (images): c00 1, c01 2, ")
    assert ", c07 8, and 3 more of 9 to 11\n" in text


def test_masks_beside_images_show(tmp_path: Path) -> None:
    """The mistake that this is for: masks become a second class, a second video."""
    make_files(tmp_path, *(f"{kind}/{i}.png" for kind in ("images", "masks") for i in range(8)))
    assert describe_source(ImageFolder(tmp_path)).startswith(
        "2 classes (images): images 8, masks 8"
    )
    assert describe_source(FramePairs(tmp_path, min_gap=1)).startswith(
        "2 videos (frames): images 8, masks 8"
    )


def test_sources_without_labels_and_with_few(tmp_path: Path) -> None:
    make_files(tmp_path, "a.jpg", "b.jpg")
    assert describe_source(ImageFolder(tmp_path)).startswith(
        f"no labels (all 2 images lie in {tmp_path} itself"
    )
    inner = dict(type="ImageFolder", root=str(tmp_path))
    assert describe_source(RandomLabels(inner, 4)).startswith(
        "4 random labels over: no labels (all 2"
    )
    (tmp_path / "list.txt").write_text("a.jpg 0\nb.jpg 2\n")
    listed = describe_source(FileList(tmp_path / "list.txt", root=tmp_path))
    assert listed.startswith("3 classes (images): 0 1, 1 0, 2 1; 1 classes without an image\n")
    content = dict(
        images=[dict(id=1, file_name="a.jpg"), dict(id=2, file_name="b.jpg")],
        categories=[dict(id=1, name="dog")],
        annotations=[dict(id=1, image_id=1, category_id=1, area=3)],
    )
    (tmp_path / "c.json").write_text(json.dumps(content))
    coco = describe_source(CocoImages(tmp_path / "c.json", tmp_path, label="largest"))
    assert coco.startswith("1 classes (images): dog 1; 1 images without a label\n")


def test_odd_names_can_be_printed(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    assert printable(f"ünï {odd}") == "ünï caf\\xe9.jpg"
    try:
        make_files(tmp_path, odd)
    except OSError:
        pytest.skip("this file system refuses such names")
    assert describe_source(ImageFolder(tmp_path)).endswith("caf\\xe9.jpg")
