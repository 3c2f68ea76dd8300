"""Where segmentation data sets keep images and masks, and what the raw mask values mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.scores import IGNORE
from pretrain.names import check_choice

UNKNOWN = -2  # a raw value that the layout does not know: an error when met
# COCO-stuff numbers 182 categories, 11 of which (raw values from 0) were never annotated.
_COCO_GAPS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_CAMVID = "sky building pole road pavement tree sign fence car pedestrian bicyclist".split()
# The 19 evaluated classes among the label numbers 0 to 33, in the order of their train numbers.
_CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
_VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow table dog horse motorbike person plant sheep "
    "sofa train monitor"
).split()


@dataclass(frozen=True)
class Layout:
    """One way of laying out image and mask files; ``{split}`` stands for the part.

    Attributes:
        images: Folder of images below the root.
        masks: Folder of masks below the root; the same file stem, plus ``mask_ending``, makes a pair.
        values: Raw mask values of classes 0, 1, …, C - 1.
        ignore: Raw mask values that count nowhere.
        names: Class names, empty if not known.
        splits: Our words ``train`` and ``val`` -> the layout's; others are taken as they are.
        inner: Folder that archives put around everything, looked for when the root lacks the image folder.
        listing: Text file with one stem per line, or empty: all files of the mask folder are read then.
        mask_ending: What the mask's file name has behind the image's stem.
        image_ending: What the image's stem has behind the part that its mask shares with it.
        grouped: Files lie in folders (of cities, say) one level below the images' and masks' folders.
    """

    images: str
    masks: str
    values: tuple[int, ...]
    ignore: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    splits: dict[str, str] = field(default_factory=dict)
    inner: str = ""
    listing: str = ""
    mask_ending: str = ".png"
    image_ending: str = ""
    grouped: bool = False

    def split(self, name: str) -> str:
        """The layout's word for a split."""
        return self.splits.get(name, name)

    def table(self, keep_ignored: bool) -> np.ndarray:
        """Raw value -> class, (65536,) int16, with ``IGNORE`` and ``UNKNOWN``.

        Args:
            keep_ignored: Make one more class, the last, of the ignored values (a compat setting of ADE20K).
        """
        table = np.full(65_536, UNKNOWN, np.int16)
        table[list(self.ignore)] = len(self.values) if keep_ignored else IGNORE
        table[list(self.values)] = np.arange(len(self.values))
        return table


def _ade20k(root: Path) -> Layout:
    return Layout(
        images="images/{split}", masks="annotations/{split}", values=tuple(range(1, 151)), ignore=(0,),
        splits={"train": "training", "val": "validation"}, inner="ADEChallengeData2016",
    )  # fmt: skip


def _voc(root: Path) -> Layout:
    return Layout(
        images="JPEGImages", masks="SegmentationClass", values=tuple(range(21)), ignore=(255,), names=tuple(_VOC),
        inner="VOCdevkit/VOC2012", listing="ImageSets/Segmentation/{split}.txt",
    )  # fmt: skip


def _coco_stuff(root: Path) -> Layout:
    converted = any((root / "annotations").glob("*/*_labelTrainIds.png"))
    values = range(171) if converted else (v for v in range(182) if v not in _COCO_GAPS)
    return Layout(
        images="images/{split}", masks="annotations/{split}", values=tuple(values), ignore=(255,),
        splits={"train": "train2017", "val": "val2017"},
        mask_ending="_labelTrainIds.png" if converted else ".png",
    )  # fmt: skip


def _camvid(root: Path) -> Layout:
    return Layout(
        images="{split}", masks="{split}annot", values=tuple(range(11)), ignore=(11,), names=tuple(_CAMVID),
        inner="seg_camvid",
    )  # fmt: skip


def _cityscapes(root: Path) -> Layout:
    values = tuple(_CITYSCAPES)
    return Layout(
        images="leftImg8bit/{split}", masks="gtFine/{split}", values=values,
        ignore=tuple(v for v in (*range(34), 255) if v not in values), names=tuple(_CITYSCAPES.values()),
        mask_ending="_gtFine_labelIds.png", image_ending="_leftImg8bit", grouped=True,
    )  # fmt: skip


def _scenes(root: Path) -> Layout:
    path = root / "scenes.json"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing, so the classes are not known: is {root} made by make_scenes.py?")
    names = json.loads(path.read_text())["labels"]["names"][1:]  # the first is of raw value 0, ignored
    return Layout(
        images="images/{split}", masks="annotations/{split}", values=tuple(range(1, len(names) + 1)), ignore=(0,),
        names=tuple(map(str, names)),
    )  # fmt: skip


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "ade20k": _ade20k,
    "voc": _voc,
    "coco-stuff": _coco_stuff,
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "scenes": _scenes,
}
DEPTH_LAYOUTS = ("scenes", "plain")


def find_layout(root: Path, name: str, **plain: object) -> tuple[Path, Layout]:
    """Looks up a layout and the folder it really starts at.

    Args:
        root: What the user named.
        name: One of ``LAYOUTS``, or ``plain``.
        plain: For ``plain``: ``images``, ``masks`` (folders, may hold ``{split}``), ``classes`` (C) and optionally
            ``ignore`` (raw value) and ``first`` (raw value of class 0).

    Raises:
        ValueError: unknown layout (with a suggestion), or options that do not belong to it.
        FileNotFoundError: the root is missing.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r} is not a folder")
    if name == "plain":
        return root, _plain(**plain)
    if plain:
        raise ValueError(f"options {sorted(plain)} belong to layout='plain', not to layout={name!r}")
    check_choice("layout", name, [*LAYOUTS, "plain"])
    layout = LAYOUTS[name](root)
    first = layout.images.format(split=layout.split("train"))
    if layout.inner and not (root / first).is_dir() and (root / layout.inner).is_dir():
        root = root / layout.inner
    return root, layout


def depth_layout(root: Path, name: str, **plain: object) -> Layout:
    """Looks up where images and depth maps lie.

    Args:
        root: What the user named.
        name: One of ``DEPTH_LAYOUTS``.
        plain: For ``plain``: ``images`` and ``depth`` (folders, may hold ``{split}``).

    Raises:
        ValueError: unknown layout (with a suggestion), or options that do not belong to it.
        FileNotFoundError: the root is missing.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r} is not a folder")
    check_choice("layout", name, DEPTH_LAYOUTS)
    needed = {"images", "depth"} if name == "plain" else set()
    if set(plain) != needed:
        raise ValueError(
            f"depth with layout={name!r} takes the options {sorted(needed)}; "
            f"missing {sorted(needed - set(plain))}, unknown {sorted(set(plain) - needed)}"
        )
    return Layout(str(plain.get("images", "images/{split}")), str(plain.get("depth", "depth/{split}")), ())


def use_trainaug(layout: Layout, split: str) -> Layout:
    """VOC's ``trainaug`` list goes with the masks of ``SegmentationClassAug``; every other split stays as it is."""
    augmented = layout.masks == "SegmentationClass" and split == "trainaug"
    return replace(layout, masks="SegmentationClassAug") if augmented else layout


def _plain(**options: object) -> Layout:
    known = {"images", "masks", "classes", "ignore", "first"}
    missing, foreign = {"images", "masks", "classes"} - set(options), set(options) - known
    if missing or foreign:
        raise ValueError(
            f"layout='plain' needs images=, masks= and classes=, and takes ignore= and first=; "
            f"missing {sorted(missing)}, unknown {sorted(foreign)}"
        )
    first, classes, ignore = int(options.get("first", 0)), int(options["classes"]), options.get("ignore")
    ignored = () if ignore is None else tuple(ignore) if isinstance(ignore, (list, tuple)) else (int(ignore),)
    return Layout(str(options["images"]), str(options["masks"]), tuple(range(first, first + classes)), ignored)
