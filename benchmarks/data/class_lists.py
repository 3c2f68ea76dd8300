"""The classes of segmentation data sets: numbers and names, and those that stand in the data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.data.layout import Masks
from pretrain.data.listings import read_json

#: COCO-stuff numbers 182 categories, 11 of which (raw values from 0) were never annotated.
COCO_GAPS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
#: Names of CamVid's 11 classes.
CAMVID = "sky building pole road pavement tree sign fence car pedestrian bicyclist"
#: The 19 evaluated classes among the label numbers 0 to 33, in the order of their train numbers.
CITYSCAPES = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
#: Names of VOC's 21 classes.
VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow table dog horse "
    "motorbike person plant sheep sofa train monitor"
)


def converted_coco(masks: Masks, root: Path) -> Masks:
    """The masks that conversion scripts write, if they are there."""
    if not any((root / "annotations").glob("*/*_labelTrainIds.png")):
        return masks
    files = "annotations/{split}/*_labelTrainIds.png"
    annotated = [value for value in range(182) if value not in COCO_GAPS]
    classes = tuple(masks.classes[value] for value in annotated) if masks.classes else ()
    return replace(masks, files=files, values=tuple(range(len(annotated))), classes=classes)


def scene_classes(masks: Masks, root: Path) -> Masks:
    """The classes that the description of the scenes names."""
    path = root / "scenes.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing, so the classes are not known: is {root} made by make_scenes.py?"
        )
    try:
        # The first is of raw value 0, ignored.
        names = read_json("layout='scenes'", path)["labels"]["names"][1:]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} names no labels; it was not written by make_scenes.py, or is damaged"
        ) from error
    return replace(masks, values=tuple(range(1, len(names) + 1)), names=tuple(map(str, names)))
