"""Where labelled data sets keep images and label maps, and what the raw values of masks mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.label_maps import MOST_CLASSES, RAW_VALUES, value_table
from pretrain.data.listings import read_json
from pretrain.names import check_choice

# COCO-stuff numbers 182 categories, 11 of which (raw values from 0) were never annotated.
_COCO_GAPS = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_CAMVID = "sky building pole road pavement tree sign fence car pedestrian bicyclist".split()
# The 19 evaluated classes among the label numbers 0 to 33, in the order of their train numbers.
_CITYSCAPES = {
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
_VOC = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow table dog horse "
    "motorbike person plant sheep sofa train monitor"
).split()


_ADVICE = (
    "is layout= the right one? layout='plain' takes the values themselves, values={values} for "
    "this mask"
)


@dataclass(frozen=True)
class Layout:
    """One way of laying out image and mask files.

    ``images`` and ``masks`` are paths below the root in which ``{split}`` stands for the part.
    Without a star they are folders, and files of one stem make a pair. Each ``*`` stands for a
    piece of a file's or folder's name, and files whose pieces are equal make a pair; the files'
    ending may be left out.

    Attributes:
        images: Where images lie.
        masks: Where masks lie.
        values: Raw mask values of classes 0, 1, …, C - 1.
        ignore: Raw mask values that count nowhere.
        names: Class names, empty if not known.
        splits: Our words ``train`` and ``val`` -> the layout's; others are taken as they are.
        inner: Folder that archives put around everything, looked for when the root lacks the image
            folder.
        listing: Text file with one name per line, or empty: all files are taken then.
        declared: Whether the user says what the classes are.
        advice: What to do about mask values that the layout does not know, as the end of a
            sentence.
    """

    images: str
    masks: str
    values: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    splits: dict[str, str] = field(default_factory=dict)
    inner: str = ""
    listing: str = ""
    declared: bool = False
    advice: str = _ADVICE

    @property
    def grouped(self) -> bool:
        """Whether files lie in folders (of cities, say) one level below the images' and masks'
        folders.
        """
        return "*/" in self.images

    def split(self, name: str) -> str:
        """The layout's word for a split."""
        return self.splits.get(name, name)

    def table(self, keep_ignored: bool) -> np.ndarray:
        """Raw value -> class, (65536,) int16, with ``IGNORE`` and ``UNKNOWN``.

        Args:
            keep_ignored: Make one more class, the last, of the ignored values.
        """
        return value_table(self.values, self.ignore, keep_ignored=keep_ignored)


def _ade20k(root: Path) -> Layout:
    return Layout(
        images="images/{split}",
        masks="annotations/{split}/*.png",
        values=tuple(range(1, 151)),
        ignore=(0,),
        splits={"train": "training", "val": "validation"},
        inner="ADEChallengeData2016",
    )


def _voc(root: Path) -> Layout:
    return Layout(
        images="JPEGImages",
        masks="SegmentationClass/*.png",
        values=tuple(range(21)),
        ignore=(255,),
        names=tuple(_VOC),
        inner="VOCdevkit/VOC2012",
        listing="ImageSets/Segmentation/{split}.txt",
    )


def _coco_stuff(root: Path) -> Layout:
    converted = any((root / "annotations").glob("*/*_labelTrainIds.png"))
    values = range(171) if converted else (v for v in range(182) if v not in _COCO_GAPS)
    ending = "_labelTrainIds.png" if converted else ".png"
    return Layout(
        images="images/{split}",
        masks=f"annotations/{{split}}/*{ending}",
        values=tuple(values),
        ignore=(255,),
        splits={"train": "train2017", "val": "val2017"},
    )


def _camvid(root: Path) -> Layout:
    return Layout(
        images="{split}",
        masks="{split}annot/*.png",
        values=tuple(range(11)),
        ignore=(11,),
        names=tuple(_CAMVID),
        inner="seg_camvid",
    )


def _cityscapes(root: Path) -> Layout:
    values = tuple(_CITYSCAPES)
    return Layout(
        images="leftImg8bit/{split}/*/*_leftImg8bit",
        masks="gtFine/{split}/*/*_gtFine_labelIds.png",
        values=values,
        ignore=tuple(v for v in (*range(34), 255) if v not in values),
        names=tuple(_CITYSCAPES.values()),
    )


def _scenes(root: Path) -> Layout:
    path = root / "scenes.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing, so the classes are not known: is {root} made by make_scenes.py?"
        )
    try:
        names = read_json("layout='scenes'", path)["labels"]["names"][
            1:
        ]  # the first is of raw value 0, ignored
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} names no labels; it was not written by make_scenes.py, or is damaged"
        ) from error
    return Layout(
        images="images/{split}",
        masks="annotations/{split}/*.png",
        values=tuple(range(1, len(names) + 1)),
        ignore=(0,),
        names=tuple(map(str, names)),
    )


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "ade20k": _ade20k,
    "voc": _voc,
    "coco-stuff": _coco_stuff,
    "camvid": _camvid,
    "cityscapes": _cityscapes,
    "scenes": _scenes,
}
DEPTH_LAYOUTS = ("scenes", "plain")


def folder_of(root: Path, pattern: str, *, word: str) -> tuple[Path, tuple[str, ...]]:
    """Splits ``images`` or ``masks`` of a layout into the folder that is certain and the names
    below it.

    Args:
        root: Folder of the data set.
        pattern: As in :class:`Layout`.
        word: What stands for ``{split}``.

    Returns:
        The folder; what its files are called, one string per level, ``("*",)`` where the pattern is
        a folder.
    """
    parts = tuple(
        part for part in pattern.replace("{split}", word).split("/") if part not in ("", ".")
    )
    fixed = next((index for index, part in enumerate(parts) if "*" in part), len(parts))
    start = Path("/") if pattern.startswith("/") else root
    return start.joinpath(*parts[:fixed]), parts[fixed:] or ("*",)


def find_layout(
    root: Path,
    name: str,
    *,
    images: str | None = None,
    masks: str | None = None,
    classes: int | None = None,
    first: int | None = None,
    ignore: int | Sequence[int] | None = None,
    values: Sequence[int] | None = None,
) -> tuple[Path, Layout]:
    """Looks up a layout and the folder it really starts at.

    Args:
        root: What the user named.
        name: One of ``LAYOUTS``, or ``plain``, to which all further options belong.
        images: Where images lie, see :class:`Layout`.
        masks: Where masks lie.
        classes: C.
        first: Raw value of class 0; None = 0.
        ignore: Raw value or values that count nowhere.
        values: Raw values of classes 0, 1, …, in place of ``classes`` and ``first``.

    Raises:
        ValueError: unknown layout (with a suggestion), or options that are missing, do not belong
            to it or are illegal.
        FileNotFoundError: the root is missing.
    """
    options = dict(
        images=images, masks=masks, classes=classes, first=first, ignore=ignore, values=values
    )
    given = {key: value for key, value in options.items() if value is not None}
    _require_root(root)
    if name == "plain":
        return root, _plain(given)
    if given:
        raise ValueError(
            f"options {sorted(given)} belong to layout='plain', not to layout={name!r}"
        )
    check_choice("layout", name, [*LAYOUTS, "plain"])
    layout = LAYOUTS[name](root)
    first_folder, _ = folder_of(root, layout.images, word=layout.split("train"))
    if layout.inner and not first_folder.is_dir() and (root / layout.inner).is_dir():
        root = root / layout.inner
    return root, layout


def depth_layout(
    root: Path, name: str, *, images: str | None = None, depth: str | None = None
) -> Layout:
    """Looks up where images and depth maps lie.

    Args:
        root: What the user named.
        name: One of ``DEPTH_LAYOUTS``.
        images: For ``plain``: where images lie, see :class:`Layout`.
        depth: For ``plain``: where depth maps lie.

    Raises:
        ValueError: unknown layout (with a suggestion), or options that do not belong to it.
        FileNotFoundError: the root is missing.
    """
    _require_root(root)
    check_choice("layout", name, DEPTH_LAYOUTS)
    given = {key for key, value in dict(images=images, depth=depth).items() if value is not None}
    needed = {"images", "depth"} if name == "plain" else set()
    if given != needed:
        raise ValueError(
            f"depth with layout={name!r} takes the options {sorted(needed)}; "
            f"missing {sorted(needed - given)}, unknown {sorted(given - needed)}"
        )
    return (
        Layout(*_paths(images=images, depth=depth))
        if needed
        else Layout("images/{split}", "depth/{split}/*.png")
    )


def use_trainaug(layout: Layout, split: str) -> Layout:
    """VOC's ``trainaug`` list goes with the masks of ``SegmentationClassAug``; every other split
    stays as it is.
    """
    augmented = layout.masks == "SegmentationClass/*.png" and split == "trainaug"
    return replace(layout, masks="SegmentationClassAug/*.png") if augmented else layout


def _require_root(root: Path) -> None:
    if not root.is_dir():
        raise FileNotFoundError(f"root={str(root)!r} is not a folder")


def _plain(options: dict[str, Any]) -> Layout:
    missing = {"images", "masks", "values" if "values" in options else "classes"} - set(options)
    if missing:
        raise ValueError(
            "layout='plain' needs images=, masks= and classes= or values=, and takes first= "
            f"and ignore=; missing {sorted(missing)}"
        )
    images, masks = _paths(images=options["images"], masks=options["masks"])
    ignore, values = _whole_numbers("ignore", options.get("ignore", ())), _class_values(options)
    both = sorted(set(ignore) & set(values))
    if both:
        raise ValueError(
            f"ignore={options['ignore']!r}: {both[:5]} are the values of classes, too; which is it?"
        )
    advice = (
        "if the values of this mask are the classes, write values={values} in place of classes= "
        "and first=; otherwise check classes=, first= and ignore="
    )
    return Layout(images, masks, values, ignore, declared=True, advice=advice)


def _class_values(options: dict[str, Any]) -> tuple[int, ...]:
    """Raw values of the classes, from ``values`` or from ``classes`` and ``first``."""
    if "values" in options:
        values = _whole_numbers("values", options["values"])
        if "first" in options or options.get("classes", len(values)) != len(values):
            raise ValueError(
                f"values={options['values']!r} takes the place of classes= and first=: leave "
                "these out"
            )
        if len(set(values)) < len(values) or not values or len(values) > MOST_CLASSES:
            raise ValueError(
                f"values={options['values']!r}: must be different values, 1 to {MOST_CLASSES} "
                "of them"
            )
        return values
    classes, first = options["classes"], options.get("first", 0)
    if type(first) is not int or not 0 <= first < RAW_VALUES:
        raise ValueError(f"first={first!r}: must be a whole number from 0 to {RAW_VALUES - 1}")
    most = min(MOST_CLASSES, RAW_VALUES - first)
    if type(classes) is not int or not 1 <= classes <= most:
        raise ValueError(f"classes={classes!r}: must be a whole number from 1 to {most}")
    return tuple(range(first, first + classes))


def _whole_numbers(name: str, value: Any) -> tuple[int, ...]:
    """One whole number or several as a tuple; raises ValueError for others and for such that no
    mask can hold.
    """
    numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if any(type(number) is not int or not 0 <= number < RAW_VALUES for number in numbers):
        raise ValueError(
            f"{name}={value!r}: must be whole numbers from 0 to {RAW_VALUES - 1}, such as "
            f"{name}=0,255"
        )
    return numbers


def _paths(**options: Any) -> tuple[str, str]:
    """Two paths of a layout, checked: a folder, or stars in the names of files."""
    for name, path in options.items():
        if not isinstance(path, str) or not path.strip("/") or "**" in path:
            raise ValueError(
                f"{name}={path!r}: must be a folder such as '{name}/{{split}}', or names with "
                f"stars such as '{name}/{{split}}/*/rgb_*.png'"
            )
    stars = {name: path.count("*") or 1 for name, path in options.items()}
    if len(set(stars.values())) > 1:
        raise ValueError(
            " and ".join(f"{name}={options[name]!r}" for name in options)
            + (
                ": need equally many stars, since what they stand for tells which files "
                "belong together"
            )
        )
    first, second = options.values()
    return first, second
