"""Layouts are declarations, and all readers of labelled data share one interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import benchmarks.data as data_sets
from benchmarks.data import (
    ClassFolder,
    DepthFolder,
    ImageSets,
    KeypointPairs,
    NormalFolder,
    SegmentationFolder,
    VideoFolder,
    ViewPairs,
)
from benchmarks.data.base import LabelledData
from benchmarks.data.layout import DepthMaps, Layout, Masks, Points, folder_of
from benchmarks.data.layout_list import as_text, describe
from benchmarks.data.layouts import LAYOUTS, declare, find_layout, layouts_with

READERS = (
    ClassFolder,
    DepthFolder,
    ImageSets,
    KeypointPairs,
    NormalFolder,
    SegmentationFolder,
    VideoFolder,
    ViewPairs,
)


@pytest.fixture
def declared() -> Iterator[Callable[[Layout], None]]:
    """Declares layouts for the length of a test."""
    before = dict(LAYOUTS)
    yield declare
    LAYOUTS.clear()
    LAYOUTS.update(before)


def put(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def noise(seed: int, height: int = 8, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_a_name_is_declared_once(declared: Callable[[Layout], None]) -> None:
    with pytest.raises(ValueError, match="layout 'camvid' is declared already"):
        declared(replace(LAYOUTS["voc"], name="camvid"))


def test_layouts_are_found_by_what_they_hold() -> None:
    assert layouts_with("points") == ["pfwillow", "willow-list", "pfpascal", "spair", "ap10k"]
    assert layouts_with("depth") == [
        "scenes",
        "plain",
        "nyu",
        "nyu-labelled",
        "nyu-labelled-filled",
        "kitti-eigen",
    ]
    assert layouts_with("normals") == ["plain"]
    assert layouts_with("class_folders") == ["scenes", "classes", "domains"]
    assert len(layouts_with("masks")) == 8 and "classes" not in layouts_with("masks")


def test_single_parts_may_keep_their_masks_elsewhere() -> None:
    voc = LAYOUTS["voc"]
    assert voc.label_files("masks", "train") == "SegmentationClass/*.png"
    assert voc.label_files("masks", "trainaug") == "SegmentationClassAug/*.png"
    assert LAYOUTS["scenes"].label_files("depth", "val") == "depth/{split}/*.png"


@pytest.mark.parametrize(
    ("pattern", "folder", "levels"),
    [
        ("images/{split}", "root/images/fold1", ("*",)),
        ("./a//{split}/*/b_*.png", "root/a/fold1", ("*", "b_*.png")),
        ("*/{split}_*", "root", ("*", "fold1_*")),
        ("/data/{split}/*.png", "/data/fold1", ("*.png",)),
    ],
)
def test_a_path_is_cut_where_it_becomes_uncertain(
    pattern: str, folder: str, levels: tuple[str, ...]
) -> None:
    assert folder_of(Path("root"), pattern, word="fold1") == (Path(folder), levels)


def test_a_root_that_is_not_there_comes_before_a_wrong_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"root='nowhere' is not a folder"):
        find_layout(Path("nowhere"), "camvit", labels="masks")
    with pytest.raises(ValueError, match="layout='pfwillow' is not one of ade20k, voc"):
        find_layout(tmp_path, "pfwillow", labels="masks")
    with pytest.raises(ValueError, match=r"layout='voc' is not one of scenes, plain"):
        DepthFolder(tmp_path, "voc")


def test_a_layout_knows_the_unit_of_its_depths(
    declared: Callable[[Layout], None], tmp_path: Path
) -> None:
    declared(Layout("steps", images="{split}", depth=DepthMaps("{split}/*_d.png", scale=256)))
    for number, part in enumerate(("train", "val")):
        put(tmp_path / part / "a.jpg", noise(number))
        put(tmp_path / part / "a_d.png", np.full((8, 12), 512, np.uint16))
    with pytest.raises(ValueError, match="do not pair"):  # a_d.png is an image of the folder, too
        DepthFolder(tmp_path, "steps")
    LAYOUTS["steps"] = replace(LAYOUTS["steps"], images="{split}/*.jpg")
    assert (DepthFolder(tmp_path, "steps").val.load(0)[1] == 2).all()
    assert (DepthFolder(tmp_path, "steps", scale=512).val.load(0)[1] == 1).all()
    assert "scale" not in DepthFolder(tmp_path, "steps").protocol


def read_csv(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", ndmin=2)


def test_a_layout_of_keypoints_brings_its_reader(
    declared: Callable[[Layout], None], tmp_path: Path
) -> None:
    """Before, the choice of a layout was checked and then ignored."""
    points = Points("kp_*.csv", read=read_csv, relative_to="image", about="NAME.png beside kp_NAME")
    declared(Layout("csv", points=points))
    for name in ("a", "b"):
        put(tmp_path / "dogs" / f"{name}.png", noise(ord(name)))
        (tmp_path / "dogs" / f"kp_{name}.csv").write_text("1,2\n3,4.5\n")
    data = KeypointPairs(tmp_path, "csv")
    assert [pair.images for pair in data.pairs] == [(0, 1), (1, 0)]
    assert data.relative_to == "image"
    assert data.pairs[0].source_points.tolist() == [[1, 2], [3, 4.5]]
    assert data.protocol["layout"] == "csv" and data.protocol["pairs"] == 2
    put(tmp_path / "dogs" / "c.png", noise(3))
    with pytest.raises(ValueError, match=r"\['c.png'\]; kp_NAME.csv belongs next to each"):
        KeypointPairs(tmp_path, "csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="layout 'csv' is NAME.png beside kp_NAME"):
        KeypointPairs(tmp_path / "none", "csv")
    with pytest.raises(ValueError, match="layout='scenes' is not one of pfwillow, .*, csv"):
        KeypointPairs(tmp_path, "scenes")


def test_what_a_data_set_says_itself_completes_its_layout(
    declared: Callable[[Layout], None], tmp_path: Path
) -> None:
    def classes_of(masks: Masks, root: Path) -> Masks:
        names = tuple((root / "classes.txt").read_text().split())
        return replace(masks, names=names, values=tuple(range(len(names))))

    masks = Masks("{split}/*_m.png", complete=classes_of)
    declared(Layout("listed", images="{split}/*.jpg", masks=masks))
    (tmp_path / "classes.txt").write_text("sky tree house")
    for number, part in enumerate(("train", "val")):
        put(tmp_path / part / "a.jpg", noise(number))
        put(tmp_path / part / "a_m.png", np.full((8, 12), 2, np.uint8))
    data = SegmentationFolder(tmp_path, "listed")
    assert data.class_names == ("sky", "tree", "house") and data.protocol["classes"] == 3
    assert masks.values == ()  # the declaration itself stays as it is


def test_every_reader_has_the_interface() -> None:
    names = [cls.__name__ for cls in READERS]
    assert sorted([*names, "TransferFolder"]) == sorted(data_sets.__all__)
    for cls in READERS:
        assert issubclass(cls, LabelledData) and layouts_with(cls.labels)
        assert cls.wanted() and cls.word


def test_readers_take_what_they_read_from_a_command_line() -> None:
    arguments = {cls: cls.arguments("scenes", "R", {}) for cls in READERS}
    assert arguments[SegmentationFolder] == dict(root="R", layout="scenes")
    assert arguments[DepthFolder] == dict(root="R", layout="scenes")
    assert arguments[ClassFolder] == dict(root="R/crops") and arguments[KeypointPairs] is None
    assert ClassFolder.arguments("scenes", "R", dict(every=(2, 1))) is None
    assert ClassFolder.arguments("classes", "R", dict(seed=1)) == dict(root="R", seed=1)
    assert ClassFolder.arguments("voc", "R", {}) is None
    masks, depth = dict(images="i", masks="m"), dict(images="i", depth="d")
    assert (
        SegmentationFolder.arguments("plain", "R", masks) == dict(root="R", layout="plain") | masks
    )
    assert SegmentationFolder.arguments("plain", "R", depth) is None
    assert DepthFolder.arguments("plain", "R", depth) == dict(root="R", layout="plain") | depth
    assert DepthFolder.arguments("plain", "R", masks) is None
    normals = dict(images="i", normals="n")
    assert NormalFolder.arguments("plain", "R", normals) == dict(root="R", layout="plain") | normals
    assert NormalFolder.arguments("plain", "R", depth) is None
    assert SegmentationFolder.arguments("plain", "R", normals) is None
    assert KeypointPairs.arguments("pfwillow", "R", {}) == dict(root="R", layout="pfwillow")
    few = dict(factors="viewpoint")
    assert ImageSets.arguments("aloi", "R", few) == dict(root="R", layout="aloi") | few
    assert ImageSets.arguments("voc", "R", {}) is None


def test_messages_name_the_layouts_that_would_do() -> None:
    points = "pfwillow, willow-list, pfpascal, spair, ap10k"
    assert KeypointPairs.wanted() == f"layout with keypoints ({points})"
    assert DepthFolder.wanted().startswith("layout with depth maps (scenes, plain, nyu, ")
    assert NormalFolder.wanted() == "layout with normal maps (plain)"
    assert SegmentationFolder.wanted().startswith("layout with masks (ade20k, voc, ")


def test_a_picture_is_shown_as_the_benchmark_shows_it(
    tmp_path: Path,
    toy_data: Callable[..., SegmentationFolder],
    write_willow: Callable[[Path], Path],
) -> None:
    settings = SimpleNamespace(size=(16, 24))
    for data in (toy_data(), KeypointPairs(write_willow(tmp_path / "willow"))):
        assert data.picture(1, settings).shape == (16, 24, 3)
    scored = toy_data()
    assert scored.scored_files == scored.val.files
    for name, seed in (("a/1", 1), ("a/2", 2), ("b/3", 3), ("b/4", 4)):
        put(tmp_path / "classes" / f"{name}.png", noise(seed, 40, 60))
    classes = ClassFolder(tmp_path / "classes", held_back=0.5)
    shown = classes.picture(0, SimpleNamespace(size=32, crop_fraction=0.875))
    assert (shown == classes.val.image(0, 32, 0.875)).all()


def test_the_list_says_where_files_lie() -> None:
    rows = {name: cells for name, *cells in describe("masks")}
    assert rows["voc"][0] == "`JPEGImages`, names from `ImageSets/Segmentation/{train,val}.txt`"
    assert rows["voc"][1].endswith("; of the part `trainaug` `SegmentationClassAug/*.png`")
    assert rows["ade20k"][:2] == [
        "`images/{training,validation}`",
        "`annotations/{training,validation}/*.png`",
    ]
    assert describe("class_folders")[0][:2] == (
        "scenes",
        "`ROOT/crops/{train,val}/<class>` or `ROOT/crops/<class>`",
    )
    titles = [line for line in as_text().splitlines() if not line.startswith(" ")]
    assert titles == [
        "masks of classes:",
        "depth maps:",
        "surface normals:",
        "keypoints:",
        "sets of images in which one factor varies:",
        "videos with masks of objects:",
        "views of objects with depth and cameras:",
        "class folders:",
    ]
    assert "`" not in as_text()
