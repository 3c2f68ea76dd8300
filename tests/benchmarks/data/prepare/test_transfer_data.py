"""The layouts for transfer, read back by other means than those that wrote them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from benchmarks.compare.names import PlanError
from benchmarks.compare.prepare import prepare
from benchmarks.data import SegmentationFolder
from benchmarks.data.groups import read_groups
from benchmarks.data.prepare import SETS, prepare_sets
from benchmarks.data.prepare.bccd import write_bccd
from benchmarks.data.prepare.coco import run_lengths
from benchmarks.data.prepare.coco100 import write_coco100
from benchmarks.data.prepare.folders import place
from benchmarks.data.prepare.segmentation import write_ade

ROOT = Path(__file__).resolve().parents[4]
Prepared = tuple[Path, dict[str, str]]


def classes(folder: Path) -> list[str]:
    """What a recipe reads as the classes."""
    return json.loads((folder / "classes.json").read_text())


def masks(folder: Path, part: str) -> dict[str, np.ndarray]:
    """Label maps of an ADE20K-like folder by stem; every one has its image."""
    found = {
        path.stem: np.array(Image.open(path))
        for path in (folder / "annotations" / part).glob("*.png")
    }
    assert set(found) == {path.stem for path in (folder / "images" / part).glob("*.jpg")}
    return found


def test_camvid_counts_from_one_and_void_is_nothing(prepared: Prepared) -> None:
    folder = prepared[0] / "camvid"
    expected = np.tile([*range(1, 12), 0, 1, 2, 3, 4], (12, 1))
    train, val = masks(folder, "training"), masks(folder, "validation")
    assert set(train) == {"a", "b", "c"} and set(val) == {"d"}
    assert all(
        mask.dtype == np.uint8 and (mask == expected).all()
        for mask in (*train.values(), *val.values())
    )
    assert len(classes(folder)) == 11 and classes(folder)[0] == "sky"
    assert read_groups(folder, [Path("d.jpg")]) == [0]
    with pytest.raises(ValueError, match="groups.json has no group for e.jpg"):
        read_groups(folder, [Path("e.jpg")])
    assert read_groups(prepared[0] / "scenes_segmentation", [Path("e.jpg")]) is None


def test_scenes_keep_their_labels_and_share_their_images(prepared: Prepared, scenes: Path) -> None:
    folder = prepared[0] / "scenes_segmentation"
    for part, own in (("training", "train"), ("validation", "val")):
        for stem, mask in masks(folder, part).items():
            assert (
                mask == np.array(Image.open(scenes / "annotations" / own / f"{stem}.png"))
            ).all()
            original = scenes / "images" / own / f"{stem}.jpg"
            assert (folder / "images" / part / f"{stem}.jpg").read_bytes() == original.read_bytes()
    assert len(classes(folder)) == 11 and classes(folder)[-1] == "ground"


def test_frozen_evaluation_reads_the_same_labels_from_both_layouts(
    prepared: Prepared, scenes: Path
) -> None:
    own = SegmentationFolder(scenes, "scenes")
    folder = prepared[0] / "scenes_segmentation"
    new = SegmentationFolder(
        folder,
        "plain",
        images="images/{split}",
        masks="annotations/{split}",
        classes=11,
        first=1,
        ignore=0,
        train="training",
        val="validation",
    )
    for index in range(len(own.val)):
        assert all(
            (a == b).all() for a, b in zip(own.val.load(index), new.val.load(index), strict=True)
        )


@pytest.mark.parametrize("name", ["scenes_detection", "bccd", "coco100"])
def test_coco_files_open_in_pycocotools(
    prepared: Prepared, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    coco = pytest.importorskip(
        "pycocotools.coco", reason="pycocotools comes with the transfer layer"
    )
    folder = prepared[0] / name
    for part in ("train2017", "val2017"):
        api = coco.COCO(folder / "annotations" / f"instances_{part}.json")
        assert [c["name"] for c in api.loadCats(api.getCatIds())] == classes(folder)
        assert {image["file_name"] for image in api.imgs.values()} == {
            p.name for p in (folder / part).iterdir()
        }
        for row in api.anns.values():
            image = api.imgs[row["image_id"]]
            x, y, width, height = row["bbox"]
            assert 0 <= x < x + width <= image["width"] and 0 <= y < y + height <= image["height"]
            if row[
                "segmentation"
            ]:  # a mask fills its box, but for what drawing a polygon on pixels costs
                rows, columns = np.nonzero(api.annToMask(row))
                measured = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                assert np.allclose(measured, (x, y, x + width, y + height), atol=1.5)


def test_cells_lose_boxes_without_area_and_count_pixels_from_zero(prepared: Prepared) -> None:
    out, said = prepared
    assert said["bccd"] == "10 boxes, 2 without area dropped"
    train = json.loads((out / "bccd/annotations/instances_train2017.json").read_text())
    first = [
        (row["category_id"], row["bbox"], row["area"])
        for row in train["annotations"]
        if row["image_id"] == 1
    ]
    assert first == [(2, [0, 0, 39, 29], 39 * 29), (3, [10, 5, 5, 3], 15)]
    assert classes(out / "bccd") == ["RBC", "WBC", "Platelets"]


def test_voc_years_together_are_the_train_list(prepared: Prepared) -> None:
    folder = prepared[0] / "bccd"
    lists = {
        f"{p.parents[2].name}/{p.stem}": p.read_text().split()
        for p in folder.rglob("ImageSets/Main/*.txt")
    }
    assert lists == {
        "VOC2007/trainval": ["B1", "B2"],
        "VOC2012/trainval": ["B3", "B4"],
        "VOC2007/test": ["B5"],
    }
    for listed, stems in lists.items():
        year = folder / listed.split("/")[0]
        for stem in stems:
            assert (year / "JPEGImages" / f"{stem}.jpg").is_file()
            assert (
                len(ElementTree.parse(year / "Annotations" / f"{stem}.xml").findall("object")) == 2
            )


def test_panoptic_segments_become_masks_of_objects(prepared: Prepared) -> None:
    folder = prepared[0] / "coco100"
    parts = [
        json.loads((folder / f"annotations/instances_{p}2017.json").read_text())
        for p in ("train", "val")
    ]
    assert [len(part["images"]) for part in parts] == [8, 2]
    ids = [{image["id"] for image in part["images"]} for part in parts]
    assert not ids[0] & ids[1] and len(ids[0] | ids[1]) == 10
    person, zebras = parts[1]["annotations"][:2]
    assert person["bbox"] == [2, 1, 2, 3] and person["area"] == 5 and not person["iscrowd"]
    assert zebras["category_id"] == 24 and zebras["area"] == 10 and zebras["iscrowd"]
    assert classes(folder) == ["person", "zebra"]


def test_run_lengths_by_hand() -> None:
    mask = np.array([[0, 1, 1], [0, 1, 0]], bool)  # columns: 00, 11, 10
    assert run_lengths(mask) == dict(size=[2, 3], counts=[2, 3, 1])
    assert run_lengths(~mask)["counts"] == [0, 2, 3, 1]
    assert run_lengths(np.zeros((2, 3), bool))["counts"] == [6]


def test_what_is_there_is_left_alone_unless_it_comes_from_elsewhere(
    prepared: Prepared, archives: Path, scenes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    steps: list[tuple[int, int]] = []
    given = dict(
        scenes=scenes,
        mirror=str(archives),
        progress=lambda name: lambda phase, done, total: steps.append((done, total)),
    )
    prepare_sets(["bccd"], out, **given)
    assert steps == [(n, 5) for n in range(1, 6)]
    assert prepare_sets(["bccd"], out, **given) == {"bccd": "there already"} and len(steps) == 5
    assert sorted(os.listdir(out)) == ["bccd"]  # nothing half done, nothing unpacked
    origin = out / "bccd" / "origin.json"
    origin.write_text(origin.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(ValueError, match="bccd was made with version=1, not 2: delete it"):
        prepare_sets(["bccd"], out, **given)
    origin.unlink()
    with pytest.raises(ValueError, match="holds something other than prepared data"):
        prepare_sets(["bccd"], out, **given)


def test_nothing_is_left_of_a_set_that_fails(archives: Path, scenes: Path, tmp_path: Path) -> None:
    def stop(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_sets(
            ["camvid"],
            tmp_path / "out",
            scenes=scenes,
            mirror=str(archives),
            progress=lambda name: stop,
        )
    assert list((tmp_path / "out").iterdir()) == []


def test_no_file_takes_the_place_of_another(tmp_path: Path) -> None:
    """``target`` would be a hard link to the first original: copying the second over it would
    overwrite that one.
    """
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    place(tmp_path / "a", tmp_path / "out" / "x")
    with pytest.raises(ValueError, match="b: another file has become x already"):
        place(tmp_path / "b", tmp_path / "out" / "x")
    assert (tmp_path / "a").read_text() == "a"


def test_names_of_cities_that_meet(tmp_path: Path) -> None:
    """The images a_b/c and a/b_c both become a_b_c."""
    for value, place_of in enumerate(("train/a_b/c", "train/a/b_c", "val/v/v")):
        image = tmp_path / "leftImg8bit" / f"{place_of}_leftImg8bit.png"
        mask = tmp_path / "gtFine" / f"{place_of}_gtFine_labelIds.png"
        for path, pixels in ((image, np.full((8, 8, 3), value)), (mask, np.full((8, 8), 7))):
            path.parent.mkdir(parents=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    with pytest.raises(
        ValueError, match="another file has become a_b_c_.* already; their names must differ"
    ):
        write_ade(tmp_path, tmp_path / "out", layout="cityscapes")


@pytest.mark.parametrize(
    ("lists", "xml", "words"),
    [
        ("B1\nB1\n", "<annotation/>", "train.txt lists 'B1' twice"),
        ("B1\n", "<annotation>", "B1.xml is not valid XML"),
        ("B1\n", "<annotation/>", "B1.xml: size/height is None; legal are whole pixels"),
        (
            "B1\n",
            "<annotation><object><bndbox><xmin>1.5</xmin></bndbox></object></annotation>",
            "xmin is '1.5'",
        ),
    ],
)
def test_cells_that_are_not_as_they_should_be(
    tmp_path: Path, lists: str, xml: str, words: str
) -> None:
    for folder in ("ImageSets/Main", "Annotations", "JPEGImages", "out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets/Main/train.txt").write_text(lists)
    (tmp_path / "ImageSets/Main/val.txt").write_text("B2\n")
    (tmp_path / "Annotations/B1.xml").write_text(xml)
    with pytest.raises(ValueError, match=words):
        write_bccd(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ((1, 1), (1,), "id 1 comes twice, for 'i0.jpg' and 'i1.jpg'"),
        ((1,), (1, 1), "image_id 1 comes twice, for 'l0.png' and 'l1.png'"),
        ((1, 2), (1,), "1 images have no panoptic labels, the first is 'i1.jpg'"),
    ],
)
def test_panoptic_files_that_say_two_things(
    tmp_path: Path, images: tuple[int, ...], labels: tuple[int, ...], words: str
) -> None:
    content = dict(
        categories=[],
        images=[dict(id=key, file_name=f"i{n}.jpg") for n, key in enumerate(images)],
        annotations=[dict(image_id=key, file_name=f"l{n}.png") for n, key in enumerate(labels)],
    )
    path = tmp_path / "panoptic_segmentation" / "annotations" / "panoptic_train2017.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=words):
        write_coco100(tmp_path, tmp_path / "out")


def test_archive_cut_short(archives: Path, scenes: Path, tmp_path: Path) -> None:
    whole = (archives / "det_bccd.tar").read_bytes()
    (tmp_path / "det_bccd.tar").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(ValueError, match="det_bccd.tar cannot be unpacked; is it complete"):
        prepare_sets(["bccd"], tmp_path / "out", scenes=scenes, mirror=str(tmp_path))


def test_missing_originals_are_said_before_anything_is_written(
    archives: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        FileNotFoundError, match=r"no scenes.json in .*run pixelpretext make-scenes"
    ):
        prepare_sets(
            ["bccd", "scenes_detection"], out, scenes=tmp_path / "none", mirror=str(archives)
        )
    with pytest.raises(FileNotFoundError, match=r"no seg_camvid.tar in .*--mirror"):
        prepare_sets(["camvid"], out, scenes=tmp_path, mirror=str(tmp_path))
    with pytest.raises(ValueError, match="camvit.*did you mean"):
        prepare_sets(["camvit"], out, scenes=tmp_path, mirror=str(archives))
    assert not out.exists()


def test_comparisons_prepare_it(archives: Path, tmp_path: Path) -> None:
    prepare({"transfer": dict(out=str(tmp_path / "t"), sets=("camvid",), mirror=str(archives))})
    assert len(masks(tmp_path / "t" / "camvid", "training")) == 3
    with pytest.raises(PlanError, match="prepare transfer: .*no seg_camvid.tar"):
        prepare({"transfer": dict(out=str(tmp_path / "u"), sets=("camvid",), mirror=str(tmp_path))})


def test_command_says_what_it_wrote_and_fails_in_a_sentence(
    archives: Path, tmp_path: Path, run_tool: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    assert run_tool("prepare_transfer", folder, "--sets", "camvid", "--mirror", archives) == 0
    good = capsys.readouterr().out
    assert good.strip().endswith("camvid: train: 3 images, val: 1 images, 11 classes")
    assert run_tool("prepare_transfer", folder, "--sets", "bccd", "--mirror", tmp_path) == 2
    assert capsys.readouterr().err.startswith("prepare-transfer: data set bccd: no det_bccd.tar in")
    assert run_tool("prepare_transfer", "--help") == 0
    assert set(SETS) <= set(capsys.readouterr().out.replace(",", " ").split())


def test_real_archives(shared_data: Path, tmp_path: Path) -> None:
    said = prepare_sets(
        ["camvid", "bccd", "coco100"], tmp_path / "out", scenes=tmp_path, mirror=str(shared_data)
    )
    assert said["camvid"] == "train: 367 images, val: 101 images, 11 classes"
    assert said["bccd"] == "3941 boxes, 2 without area dropped"
    assert said["coco100"] == "train: 80 images, 579 instances; val: 20 images, 167 instances"
    bccd = tmp_path / "out" / "bccd"
    assert (
        len(list((bccd / "train2017").iterdir())) == 205
        and len(list((bccd / "val2017").iterdir())) == 87
    )
    assert len(classes(tmp_path / "out" / "coco100")) == 80
