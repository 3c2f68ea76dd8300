"""Which files make pairs: lists, patterns, names with stars; what is ambiguous is refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.selection import Parts
from benchmarks.evaluate.suite import make_task


def put_image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6, 3), shade, np.uint8)).save(path)


def put_mask(path: Path, value: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((4, 6), np.uint8)
    mask[:2] = value
    Image.fromarray(mask).save(path)


def make_plain(root: Path, names: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """Writes images and masks of the parts; every image has a shade of its own."""
    shade = 0
    for part, stems in names.items():
        for stem in stems:
            shade += 10
            put_image(root / "img" / part / f"{stem}.png", shade)
            put_mask(root / "lab" / part / f"{stem}.png")
    return dict(root=root, layout="plain", images="img/{split}", masks="lab/{split}", classes=2)


def stems(split: Any) -> list[str]:
    return [path.stem for path in split.files]


def test_patterns_leave_images_out_of_one_part_only(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train": ("A_1", "A_2", "B_1", "C_1"), "val": ("B_9", "C_9")})
    data = SegmentationFolder(**options, train_exclude="B_*,C_1.png", every=(2, 1))
    assert stems(data.train) == ["A_1"] and stems(data.val) == [
        "B_9",
        "C_9",
    ]  # left out before every second is taken
    assert (
        data.protocol["train_exclude"] == ["B_*", "C_1.png"] and "val_exclude" not in data.protocol
    )
    assert stems(SegmentationFolder(**options, val_exclude=("B_*",)).val) == ["C_9"]
    whole = SegmentationFolder(**options).protocol
    assert "train_exclude" not in whole and "val_exclude" not in whole  # hashes of others stay
    with pytest.raises(
        ValueError, match=r"'D_\*' fits no file of split 'train'; there are 4, for example A_1\.png"
    ):
        SegmentationFolder(**options, train_exclude="D_*")
    with pytest.raises(ValueError, match="no image with a mask"):
        SegmentationFolder(**options, train_exclude="*")
    with pytest.raises(ValueError, match=r"train_exclude=3: must be names"):
        SegmentationFolder(**options, train_exclude=3)


def test_camvid_without_the_drive_of_its_val_part(shared_data: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(shared_data / "seg_camvid.tar", tmp_path, filter="data")
    whole = SegmentationFolder(tmp_path, "camvid")
    assert (len(whole.train), len(whole.val)) == (367, 101)
    assert "shared_images" not in whole.protocol
    apart = SegmentationFolder(tmp_path, "camvid", train_exclude="0016E5_*")
    assert (len(apart.train), len(apart.val)) == (163, 101)
    assert {name.split("_")[0] for name in stems(apart.val)} == {"0016E5"}
    assert {name.split("_")[0] for name in stems(apart.train)} == {"0001TP", "0006R0"}


def test_what_a_list_leaves_out_needs_no_mask(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train": ("a", "b"), "val": ("c",)})
    put_image(tmp_path / "img/train/bare.png", 200)
    put_mask(tmp_path / "lab/train/orphan.png")
    message = r"1 images without mask \['bare'\], 1 masks without image \['orphan'\].*names="
    with pytest.raises(ValueError, match=message):
        SegmentationFolder(**options)
    few = tmp_path / "few.txt"
    few.write_text("b\n")
    assert stems(SegmentationFolder(**options, names=(str(few), None)).train) == ["b"]
    assert stems(SegmentationFolder(**options, train_exclude="bare,orphan").train) == ["a", "b"]
    few.write_text("bare\n")
    with pytest.raises(ValueError, match=r"1 images without mask \['bare'\]"):
        SegmentationFolder(**options, names=(str(few), None))


def test_lists_as_people_have_them(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train": ("a", "b c", "d", "e+f", "b"), "val": ("v",)})
    few = tmp_path / "few,1.csv"
    for text in (
        "\ufeffa,3\n'b c',0\n",
        "a 3\nb c\n",
        "a.png\nb c.png, 1\n",
        "/far/img/a.png /far/lab/a.png\nb c\t0\n",
    ):
        few.write_text(text, encoding="utf-8")
        assert stems(SegmentationFolder(**options, names=(str(few), None)).train) == ["a", "b c"], (
            text
        )
    few.write_text("e+f\n")
    assert stems(SegmentationFolder(**options, names=(str(few), None)).train) == ["e+f"]
    few.write_bytes("a\n".encode("utf-16"))
    with pytest.raises(ValueError, match="not text in UTF-8"):
        SegmentationFolder(**options, names=(str(few), None))


def test_names_of_the_command_line_are_a_pair(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train": ("a", "b"), "val": ("v", "w")})
    for name, stem in (("few.txt", "b"), ("one.txt", "w")):
        (tmp_path / name).write_text(f"{stem}\n")
    data = SegmentationFolder(**options, names=f"{tmp_path}/few.txt,{tmp_path}/one.txt")
    assert (stems(data.train), stems(data.val)) == (["b"], ["w"])
    data = SegmentationFolder(**options, names=f"{tmp_path}/few.txt,None")
    assert (stems(data.train), stems(data.val)) == (["b"], ["v", "w"])
    for wrong in ("few.txt", "a,b,c", ("few.txt",), 3, (1, 2)):
        with pytest.raises(
            ValueError, match=r"names=.*: must be \(train, val\), two text files or None"
        ):
            SegmentationFolder(**options, names=wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(every=2), r"every=2: must be \(train, val\), two whole numbers"),
        (dict(every=(1.5, 2)), r"every=\(1\.5, 2\): must be"),
        (dict(every=(True, 2)), r"every=\(True, 2\): must be"),
        (dict(limit=(0, 2)), r"limit=\(0, 2\): must be"),
        (dict(limit=5), r"limit=5: must be"),
        (dict(train=2012), r"train=2012: must be the name of a part; a number needs quotes"),
        (dict(images=3), r"images=3: must be a folder"),
        (dict(images="**/x"), r"images='\*\*/x': must be a folder"),
        (dict(images="a/*/*.png"), r"need equally many stars"),
        (dict(classes="3"), r"classes='3': must be a whole number"),
        (dict(classes=0), r"classes=0: must be a whole number from 1"),
        (dict(classes=70_000), r"classes=70000: must be a whole number from 1 to 32767"),
        (dict(ignore=-1), r"ignore=-1: must be whole numbers from 0"),
        (dict(ignore=1), r"ignore=1: \[1\] are the values of classes, too"),
        (dict(first="x"), r"first='x': must be a whole number"),
        (dict(values=(0, 0)), r"values=\(0, 0\): must be different values"),
        (dict(values=(0, 1, 2)), r"values=\(0, 1, 2\) takes the place of classes="),
    ],
)
def test_illegal_options_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    plain = make_plain(tmp_path, {"train": ("a",), "val": ("v",)})
    with pytest.raises(ValueError, match=message):
        SegmentationFolder(**(plain | options))


def test_unknown_options_are_named_with_what_was_meant(tmp_path: Path) -> None:
    plain = make_plain(tmp_path, {"train": ("a",), "val": ("v",)})
    for wrong, right in (("clases", "classes"), ("train_exclud", "train_exclude")):
        with pytest.raises(
            ValueError,
            match=f"SegmentationFolder has no argument '{wrong}'; did you mean '{right}'",
        ):
            make_task("retrieval", dict(data=plain | {wrong: "x"}))
    with pytest.raises(ValueError, match="DepthFolder has no argument 'masks'"):
        make_task("depth", dict(data=dict(root=tmp_path, layout="plain", images="i", masks="m")))


def test_stars_pair_by_what_they_stand_for(tmp_path: Path) -> None:
    """The raw frames of NYU: names repeat from scene to scene, images and depth maps lie in one
    folder.
    """
    for scene, shade in (("bath", 10), ("hall", 60)):
        for number in (0, 1):
            put_image(tmp_path / "train" / scene / f"rgb_{number}.jpg", shade + 20 * number)
            put_mask(tmp_path / "train" / scene / f"sync_depth_{number}.png")
    put_image(tmp_path / "val/hall/rgb_7.jpg", 150)
    put_mask(tmp_path / "val/hall/sync_depth_7.png")
    options = dict(
        layout="plain", images="{split}/*/rgb_*", depth="{split}/*/sync_depth_*.png", scale=1
    )
    data = DepthFolder(tmp_path, **options)
    assert [str(path.relative_to(tmp_path)) for path in data.train.files] == [
        "train/bath/rgb_0.jpg",
        "train/bath/rgb_1.jpg",
        "train/hall/rgb_0.jpg",
        "train/hall/rgb_1.jpg",
    ]
    assert len(data.val) == 1
    assert len(DepthFolder(tmp_path, **options, train_exclude="bath/*").train) == 2
    few = tmp_path / "few.txt"
    few.write_text("hall/rgb_1\nbath/0\n")
    found = DepthFolder(tmp_path, **options, names=(str(few), None)).train.files
    assert [path.parent.name + path.stem for path in found] == ["bathrgb_0", "hallrgb_1"]
    few.write_text("rgb_1\n")
    with pytest.raises(
        ValueError, match=r"'rgb_1' may be any of \['bath/1', 'hall/1'\]: write its folder, too"
    ):
        DepthFolder(tmp_path, **options, names=(str(few), None))


def test_stars_of_kitti(tmp_path: Path) -> None:
    """KITTI's selected validation frames differ from their depth maps in the middle of the name."""
    for number, part in enumerate(("train", "val")):
        head = "2011_09_26_drive_0002_sync"
        put_image(
            tmp_path / part / "image" / f"{head}_image_000000000{number}_image_02.png", 10 + number
        )
        put_mask(
            tmp_path
            / part
            / "groundtruth_depth"
            / f"{head}_groundtruth_depth_000000000{number}_image_02.png"
        )
    data = DepthFolder(
        tmp_path,
        "plain",
        images="{split}/image/*_sync_image_*.png",
        scale=1,
        depth="{split}/groundtruth_depth/*_sync_groundtruth_depth_*.png",
    )
    assert (len(data.train), len(data.val)) == (1, 1)


def test_images_and_masks_in_one_folder(tmp_path: Path) -> None:
    for part, shade in (("train", 10), ("val", 50)):
        put_image(tmp_path / part / "a.jpg", shade)
        put_mask(tmp_path / part / "a.png")
    with pytest.raises(
        ValueError,
        match=r"images of split 'train': a\.jpg and a\.png in .* have one name; .*/\*\.jpg",
    ):
        SegmentationFolder(tmp_path, "plain", images="{split}", masks="{split}", classes=2)
    data = SegmentationFolder(
        tmp_path, "plain", images="{split}/*.jpg", masks="{split}/*.png", classes=2
    )
    assert [path.name for path in data.val.files] == ["a.jpg"]


def test_dot_files_are_left_out_and_two_of_one_name_refused(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train": ("a", "b"), "val": ("v",)})
    for folder in ("img", "lab"):
        for name in ("._a.png", ".DS_Store", ".hidden.png"):
            (tmp_path / folder / "train" / name).write_bytes(b"\0\5\26\7")
    assert stems(SegmentationFolder(**options).train) == ["a", "b"]
    put_image(tmp_path / "img/train/b.jpg", 222)
    with pytest.raises(ValueError, match=r"b\.jpg and b\.png in .* have one name"):
        SegmentationFolder(**options)
    assert stems(SegmentationFolder(**options, train_exclude="b").train) == ["a"]
    (tmp_path / "img/train/b.jpg").unlink()
    put_mask(tmp_path / "lab/train/b.tif")
    with pytest.raises(
        ValueError, match=r"masks of split 'train': b\.png and b\.tif in .* have one name"
    ):
        SegmentationFolder(**options)


def test_images_one_folder_deeper_are_pointed_at(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train/x": ("a",), "val/x": ("v",)})
    with pytest.raises(
        ValueError, match=r"no image with a mask in .*, which has folders \(x\): images=…/\*/\*"
    ):
        SegmentationFolder(**options)
    deeper = options | dict(images="img/{split}/*/*", masks="lab/{split}/*/*")
    assert stems(SegmentationFolder(**deeper).train) == ["a"]


def test_folders_beside_the_root_and_names_that_are_not_utf8(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    try:
        options = make_plain(tmp_path, {"train": (odd, "a"), "val": ("v",)})
    except OSError:
        pytest.skip("this file system refuses such names")
    inner = tmp_path / "img"
    beside = SegmentationFolder(
        **(options | dict(root=inner, images="{split}", masks="../lab/{split}"))
    )
    assert stems(beside.train) == ["a", odd]
    options |= dict(images=f"{inner}/{{split}}")
    outside = SegmentationFolder(**(options | dict(root=tmp_path / "lab", masks="{split}")))
    assert len(outside.train) == 2 and len(outside.train.fingerprint) == 12
    few = tmp_path / "few.txt"
    few.write_bytes(b"caf\xe9\n")
    assert stems(SegmentationFolder(**options, names=(str(few), None)).train) == [odd]


def test_braces_and_links_in_circles_are_no_tracebacks(tmp_path: Path) -> None:
    options = make_plain(tmp_path, {"train": ("a",), "val": ("v",)})
    with pytest.raises(FileNotFoundError, match=r"no folder .*img\{0\}"):
        SegmentationFolder(**(options | dict(images="img{0}")))
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    with pytest.raises(FileNotFoundError, match="no folder .*loop"):
        SegmentationFolder(**(options | dict(images="loop")))
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        SegmentationFolder(**(options | dict(root=tmp_path / "loop")))


def test_a_text_is_cut_at_its_commas() -> None:
    parts = Parts.of(
        "train",
        "test",
        every=[1, 3],
        limit=(None, 5),
        names=" a.txt , None",
        train_exclude="x*, y",
        val_exclude=[],
    )
    train, val = parts.selections
    assert (train.names, train.exclude, train.every, train.limit) == ("a.txt", ("x*", "y"), 1, None)
    assert (val.names, val.exclude, val.every, val.limit) == (None, (), 3, 5)
    assert parts.protocol == dict(
        train="train", val="test", every=[1, 3], limit=[None, 5], train_exclude=["x*", "y"]
    )
