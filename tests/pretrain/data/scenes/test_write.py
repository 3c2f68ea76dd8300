"""What is written: the same bytes for a seed, splits that share nothing, check sums that hold."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pretrain.data.scenes import CLASSES, GROUND, write_scenes
from pretrain.data.scenes.manifest import Request

IMAGES, SIZE, SEED, SEQUENCES = 70, 96, 3, 3


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_another_seed_gives_other_images(scenes: Path, tmp_path: Path):
    other = write_scenes(tmp_path / "other", 5, size=SIZE, seed=SEED + 1, sequences=0)
    name = "images/train/scene_000000.jpg"
    assert (scenes / name).read_bytes() != (other / name).read_bytes()


def test_a_smaller_set_is_the_beginning_of_a_larger_one(scenes: Path, tmp_path: Path):
    small = write_scenes(tmp_path / "small", 10, size=SIZE, seed=SEED, sequences=1)
    same = [p for p in small.rglob("*") if p.suffix in (".jpg", ".png", ".npz")]
    assert len(same) > 60
    for path in same:
        assert path.read_bytes() == (scenes / path.relative_to(small)).read_bytes()
    few, many = (json.loads((s / "instances_val.json").read_text()) for s in (small, scenes))
    assert few["annotations"] == many["annotations"][: len(few["annotations"])]


def test_check_sums_and_counts_are_true(scenes: Path):
    lines = (scenes / "SHA256SUMS").read_text().splitlines()
    sums = dict(reversed(line.split("  ")) for line in lines)
    on_disk = {p.relative_to(scenes).as_posix() for p in scenes.rglob("*") if p.is_file()}
    assert set(sums) == on_disk - {"SHA256SUMS", "scenes.json"}
    assert all(
        hashlib.sha256((scenes / name).read_bytes()).hexdigest() == sums[name] for name in sums
    )
    manifest = json.loads((scenes / "scenes.json").read_text())
    assert manifest["sha256"] == hashlib.sha256((scenes / "SHA256SUMS").read_bytes()).hexdigest()
    assert manifest["versions"] == {"numpy": np.__version__, "opencv": cv2.__version__}
    for split, number in (("train", 56), ("val", 14)):
        counts = manifest["counts"][split]
        assert counts["images"] == len(list((scenes / "images" / split).iterdir())) == number
        assert counts["sequences"] == len(list((scenes / "sequences" / split).iterdir()))
        for c in CLASSES:
            assert counts["crops"][c.name] == len(
                list((scenes / "crops" / split / c.name).iterdir())
            )
        labels = np.concatenate(
            [read(p).ravel() for p in (scenes / "annotations" / split).iterdir()]
        )
        assert (
            list(counts["label_pixels"].values())
            == np.bincount(labels, minlength=GROUND + 1).tolist()
        )


def test_splits_share_no_picture(scenes: Path):
    by_split = [
        {p.read_bytes() for p in (scenes / "images" / s).iterdir()} for s in ("train", "val")
    ]
    assert len(by_split[0]) == 56 and not by_split[0] & by_split[1]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (dict(images=4), "images=4"),
        (dict(size=16), "size=16"),
        (dict(seed=-1), "seed=-1"),
        (dict(sequences=-2), "sequences=-2"),
        (dict(workers=0), "workers=0"),
        (dict(size=96.0), "size=96.0"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path: Path, wrong: dict, word: str):
    with pytest.raises(ValueError, match=word):
        write_scenes(tmp_path / "none", **(dict(images=10) | wrong))
    assert not (tmp_path / "none").exists()


def test_splits_are_four_to_one():
    request = Request(images=100, size=96, seed=0, sequences=4)
    assert request.split_sizes(100) == {"train": 80, "val": 20}
    assert request.split_sizes(4) == {"train": 3, "val": 1}
    assert request.split_sizes(1) == {"train": 1, "val": 0}
    assert request.split_sizes(0) == {"train": 0, "val": 0}
