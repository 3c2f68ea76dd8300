"""NYUv2's and KITTI's lists: which files they name, in which unit, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import DepthFolder


def put(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def noise(*seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)


def write_nyu(root: Path, *, train: str = "", test: str = "") -> Path:
    """Two train and two test images below the folders ``train`` and ``test``."""
    lines: dict[str, list[str]] = dict(train=[], test=[])
    for part, scene, below in (("train", "kitchen_0028b", train), ("test", "bathroom", test)):
        for number in (45, 46):
            image, depth = f"{scene}/rgb_{number:05d}.jpg", f"{scene}/sync_depth_{number:05d}.png"
            put(root / below / image, noise(number, len(part)))
            put(root / below / depth, np.full((6, 8), 1000 + number, np.uint16))
            slash = "/" if part == "train" else ""
            lines[part].append(f"{slash}{image} {slash}{depth} 518.8579")
        (root / f"nyu_{part}.txt").write_text("\n".join(lines[part]) + "\n")
    return root


def write_kitti(root: Path) -> Path:
    for part, day in (("train", "2011_09_26"), ("test", "2011_09_28")):
        lines = []
        for number in (5, 69):
            drive = f"{day}_drive_0002_sync"
            image = f"{day}/{drive}/image_02/data/{number:010d}.png"
            depth = f"{drive}/proj_depth/groundtruth/image_02/{number:010d}.png"
            put(root / "input" / image, noise(number, len(part)))
            if part == "test" and number == 5:
                lines.append(f"{image} None 721.5377")
                continue
            put(root / "gt_depth" / depth, np.full((6, 8), 256 * number, np.uint16))
            lines.append(f"{image} {depth} 721.5377")
        (root / f"kitti_eigen_{part}.txt").write_text("\n".join(lines))
    return root


@pytest.mark.parametrize("below", [{}, dict(train="sync", test="official_splits/test")])
def test_nyu_is_millimetres_in_the_order_of_its_lists(below: dict, tmp_path: Path) -> None:
    data = DepthFolder(write_nyu(tmp_path, **below), "nyu")
    assert (len(data.train), len(data.val)) == (2, 2)
    assert [path.name for path in data.val.files] == ["rgb_00045.jpg", "rgb_00046.jpg"]
    assert data.train.load(1)[1] == pytest.approx(np.full((6, 8), 1.046), rel=1e-6)
    assert DepthFolder(tmp_path, "nyu", limit=(1, None)).protocol["train_images"] == 1


def test_kitti_is_256_per_metre_and_leaves_images_without_depth_out(tmp_path: Path) -> None:
    data = DepthFolder(write_kitti(tmp_path), "kitti-eigen")
    assert (len(data.train), len(data.val)) == (2, 1)
    assert (data.val.load(0)[1] == 69).all() and (data.train.load(0)[1] == 5).all()


def test_eight_bits_are_an_error_also_where_the_layout_knows_the_unit(tmp_path: Path) -> None:
    write_nyu(tmp_path)
    put(tmp_path / "bathroom/sync_depth_00045.png", np.full((6, 8), 200, np.uint8))
    with pytest.raises(ValueError, match=r"sync_depth_00045\.png is a L image; .* 16 bits"):
        DepthFolder(tmp_path, "nyu")


def test_names_are_other_lists_and_patterns_leave_out(tmp_path: Path) -> None:
    write_nyu(tmp_path)
    line = (tmp_path / "nyu_train.txt").read_text().splitlines()[1]
    (tmp_path / "few.txt").write_text(line)
    data = DepthFolder(tmp_path, "nyu", names="few.txt,None", val_exclude="rgb_00046*")
    assert [path.name for path in data.train.files] == ["rgb_00046.jpg"]
    assert [path.name for path in data.val.files] == ["rgb_00045.jpg"]


def test_parts_share_no_image(tmp_path: Path) -> None:
    write_nyu(tmp_path)
    with pytest.raises(ValueError, match="2 of the 2 val images are train images"):
        DepthFolder(tmp_path, "nyu", names="nyu_test.txt,None")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a.jpg", {}, r"nyu_test\.txt:1: 'a\.jpg' names no depth map"),
        ("", {}, "names no image with a depth map"),
        ("a.jpg None 1", {}, "names no image with a depth map"),
        (
            "x/a.jpg x/a.png 1\nx/b.jpg x/b.png 1",
            {},
            r"2 of 2 files are missing.*first: .*a\.jpg",
        ),
        (None, dict(val_exclude="nothing*"), r"exclude 'nothing\*' fits no image"),
        (None, dict(val_exclude="rgb*"), "leave no image"),
        (None, dict(names="None,other.txt"), r"no list .*other\.txt of part 'test'"),
    ],
)
def test_mistakes_are_named(text: str | None, options: dict, message: str, tmp_path: Path) -> None:
    write_nyu(tmp_path)
    if text is not None:
        (tmp_path / "nyu_test.txt").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        DepthFolder(tmp_path, "nyu", **options)
