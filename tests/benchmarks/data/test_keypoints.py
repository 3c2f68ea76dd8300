"""What lies in a folder of keypoints: nothing is left out without a word, and sizes are those of
upright images.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmarks.data import KeypointPairs


@pytest.fixture
def root(tmp_path: Path, write_willow: Callable[[Path], Path]) -> Path:
    return write_willow(tmp_path / "willow")


def test_an_image_without_keypoints_is_named(root: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(root / "bottle" / "bare.png")
    with pytest.raises(
        ValueError,
        match=r"bottle: 1 images without keypoints, the first: \['bare\.png'\]; NAME\.mat",
    ):
        KeypointPairs(root)


def test_two_images_of_one_name_are_refused(root: Path) -> None:
    shutil.copy(root / "bottle" / "0.png", root / "bottle" / "0.jpg")
    with pytest.raises(
        ValueError, match=r"0\.mat has 2 images next to it, \['0\.jpg', '0\.png'\]: leave one there"
    ):
        KeypointPairs(root)


def test_dot_files_are_left_out(root: Path) -> None:
    clean = KeypointPairs(root).protocol
    for name in ("._0.mat", "._0.png", ".DS_Store"):
        (root / "bottle" / name).write_bytes(b"\0\5\26\7")
    assert KeypointPairs(root).protocol == clean


def test_a_keypoint_outside_its_image_is_named(root: Path) -> None:
    with Image.open(root / "bottle" / "0.png") as image:
        width, height = image.size
    points = np.array([[1, 2, 3, width + 0.9], [1, 2, 3, -0.9]])  # annotators click on the border
    savemat(root / "bottle" / "0.mat", dict(pts_coord=points))
    KeypointPairs(root)
    points[0, 3] = width + 2
    savemat(root / "bottle" / "0.mat", dict(pts_coord=points))
    with pytest.raises(
        ValueError, match=rf"0\.mat: keypoint \[.*\] lies outside its image of {width} x {height}"
    ):
        KeypointPairs(root)


def test_sizes_are_those_of_upright_images(root: Path) -> None:
    """Before, a turned image had the size of its stored pixels and was read with the other one."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(root / "bottle" / "0.jpg", exif=exif)
    (root / "bottle" / "0.png").unlink()
    savemat(root / "bottle" / "0.mat", dict(pts_coord=np.ones((2, 4))))
    data = KeypointPairs(root)
    assert data.images[0].size == (30, 40) == data.read(0).shape[:2]


def test_a_broken_image_is_one_sentence(root: Path) -> None:
    (root / "bottle" / "0.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"bottle/0\.png: not a known image format"):
        KeypointPairs(root)
    with pytest.raises(ValueError, match=r"every=1\.5 must be at least 1, a whole number"):
        KeypointPairs(root, every=1.5)
