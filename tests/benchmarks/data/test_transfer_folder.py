"""What is wrong with the labels of a transfer is said before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.data.transfer_folder import LabelMaps, check_coco, check_label_maps, check_voc

NAMES = ("road", "tree", "sky")


def write(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


def label_maps(root: Path, values: list[int], **changes: Any) -> LabelMaps:
    """Three images of 8 x 6 pixels with label maps of these values; ADE20K's numbers."""
    pairs = []
    for number in range(3):
        image = write(root / f"{number}.png", np.zeros((6, 8, 3), np.uint8))
        mask = np.resize(np.array(values, np.uint8), (6, 8))
        pairs.append((image, write(root / "masks" / f"{number}.png", mask)))
    return LabelMaps(
        **dict(part="train", pairs=pairs, classes=NAMES, first=1, ignore=(0, 255)) | changes
    )


def test_good_label_maps_pass_and_absent_classes_are_told(tmp_path: Path) -> None:
    calls = []
    assert (
        check_label_maps(label_maps(tmp_path, [0, 1, 2, 3, 255]), lambda *call: calls.append(call))
        == ()
    )
    assert calls == [("check train label maps", 3, 3)]
    notes = check_label_maps(label_maps(tmp_path, [0, 2]))
    assert notes == ("no image of the train part has the classes road, sky",)


def test_values_above_the_classes(tmp_path: Path) -> None:
    maps = label_maps(tmp_path, [0, 1, 2, 3, 4])  # as with a name too few
    with pytest.raises(
        ValueError,
        match=r"0.png holds the values \[4\].*3 classes, values 1 to 3, .* holds 1,2,3,4",
    ):
        check_label_maps(maps)
    cityscapes = label_maps(tmp_path, [0, 1, 2, 7], first=0, ignore=(255,))
    with pytest.raises(ValueError, match=r"holds the values \[7\].*values 0 to 2, and ignores 255"):
        check_label_maps(cityscapes)


def test_only_the_last_label_map_is_wrong(tmp_path: Path) -> None:
    maps = label_maps(tmp_path, [1, 2, 3])
    write(maps.pairs[2][1], np.full((6, 8), 9, np.uint8))
    with pytest.raises(ValueError, match=r"2.png holds the values \[9\]"):
        check_label_maps(maps)
    write(maps.pairs[2][1], np.full((6, 8), 257, np.uint16))  # its lowest eight bits are a class
    with pytest.raises(ValueError, match=r"2.png holds the values \[257\]"):
        check_label_maps(maps)


def test_colours_sizes_and_files(tmp_path: Path) -> None:
    maps = label_maps(tmp_path, [1, 2, 3])
    mask = maps.pairs[1][1]
    write(mask, np.zeros((6, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="1.png is a RGB image; a mask must be one channel"):
        check_label_maps(maps)
    write(mask, np.ones((3, 4), np.uint8))
    with pytest.raises(ValueError, match="1.png is 4x3 pixels, its image .*1.png .* is 8x6"):
        check_label_maps(maps)
    mask.unlink()
    with pytest.raises(ValueError, match="1.png has no label map: .*1.png is not there"):
        check_label_maps(maps)
    mask.write_bytes(b"<html>")
    with pytest.raises(ValueError, match="1.png: not readable as a mask"):
        check_label_maps(maps)


def test_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the train part has no labelled pixel: all 3 label maps"):
        check_label_maps(label_maps(tmp_path, [0, 255]))
    with pytest.raises(ValueError, match="the val part has no images"):
        check_label_maps(LabelMaps("val", [], NAMES, 1, (0, 255)))


def coco() -> dict[str, Any]:
    outline = [[0, 0, 4, 0, 4, 4]]
    boxes = [(1, 1, [0, 0, 4, 4]), (2, 2, [1, 1, 3, 2])]
    return dict(
        images=[dict(id=n, file_name=f"{n}.png", width=8, height=6) for n in (1, 2)],
        categories=[dict(id=1, name="road"), dict(id=2, name="tree")],
        annotations=[
            dict(id=n, image_id=image, category_id=n, bbox=box, area=9, segmentation=outline)
            for n, image, box in boxes
        ],
    )


def check(content: dict[str, Any], root: Path, **options: Any) -> tuple[str, ...]:
    for number in (1, 2):
        write(root / f"{number}.png", np.zeros((6, 8, 3), np.uint8))
    (root / "train.json").write_text(json.dumps(content))
    options = dict(classes=("road", "tree"), part="train", images=root) | options
    return check_coco(root / "train.json", **options)


def test_good_coco_files_pass(tmp_path: Path) -> None:
    assert check(coco(), tmp_path, masks=True) == ()
    content = coco()
    content["annotations"][1]["bbox"] = [9, 0, 4, 4]
    notes = check(content, tmp_path)
    assert notes == ("1 boxes of train.json have no area inside their image: mmdet skips them",)
    content["annotations"] = content["annotations"][:1]
    assert check(content, tmp_path) == ("no image of the train part has the classes tree",)


def rename(content: dict[str, Any]) -> None:
    content["categories"][1]["name"] = "road"


def set_in(kind: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[kind][1].update(changes)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (rename, {}, "several categories are called 'road'"),
        (set_in("categories", id=1), {}, "'categories' has the id 1 twice"),
        (
            set_in("categories", name="bush"),
            {},
            "no category for 1 of the recipe's 2 classes: tree; it has road, bush",
        ),
        (
            set_in("images"),
            dict(classes=("road",)),
            r"the recipe's 1 classes lack tree \(1 objects\)",
        ),
        (
            set_in("annotations", category_id=7),
            {},
            "annotation 2 has category_id 7, not in 'categories'",
        ),
        (set_in("annotations", bbox=[1, 2, 3]), {}, "annotation 2 has the bbox"),
        (set_in("annotations", bbox=[1, float("nan"), 3, 2]), {}, "annotation 2 has the bbox"),
        (
            set_in("annotations", segmentation=[]),
            dict(masks=True),
            "annotation 2 has no 'segmentation'",
        ),
        (set_in("images", file_name="9.png"), {}, "1 of 2 images are not in .*, the first 9.png"),
        (set_in("images", width=6, height=8), {}, "2.png .* is 8x6 pixels, the file says 6x8"),
        (
            lambda content: content["annotations"].clear(),
            {},
            "no object with an area inside its image",
        ),
    ],
)
def test_mistakes_in_coco_files(
    change: Callable[[dict[str, Any]], None], options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    content = coco()
    change(content)
    with pytest.raises(ValueError, match=words):
        check(content, tmp_path, **options)


VOC = "<annotation><object><name>{}</name><bndbox>{}</bndbox></object></annotation>"
BOX = "<xmin>1</xmin><ymin>2.5</ymin><xmax>5</xmax><ymax>6</ymax>"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (VOC.format("road", BOX), ""),
        (VOC.format("bush", BOX), "b.xml has an object 'bush', which is none of the 3 classes"),
        (
            VOC.format("road", BOX.replace("5</xmax>", "1</xmax>")),
            "box of a road has no area: x 1 to 1",
        ),
        (VOC.format("road", BOX.replace(">5<", ">five<")), "box of a road is not four numbers"),
        (
            VOC.format("road", "").replace("<bndbox></bndbox>", ""),
            "box of a road is not four numbers",
        ),
        ("<annotation>", "b.xml: not a VOC annotation"),
        (None, "image 'b' of the list: .*b.xml is not there"),
    ],
)
def test_boxes_of_voc(text: str | None, words: str, tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "JPEGImages" / f"{name}.jpg", np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(VOC.format("tree", BOX))
    if text is not None:
        (tmp_path / "Annotations" / "b.xml").write_text(text)
    if not words:
        notes = check_voc(["a", "b"], folder=tmp_path, classes=NAMES, part="val")
        assert notes == ("no image of the val part has the classes sky",)
        return
    with pytest.raises(ValueError, match=words):
        check_voc(["a", "b"], folder=tmp_path, classes=NAMES, part="val")
