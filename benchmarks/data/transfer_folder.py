"""A folder in a layout that mmsegmentation or mmdet reads, and what is wrong with its labels.

The libraries find mistakes deep in training or not at all: mmsegmentation keeps the lowest eight
bits of a class number, mmdet passes over boxes of unlisted categories. The checks here look at
every label map and annotation before anything is trained.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from benchmarks.data.label_maps import check_size, class_numbers, value_table
from benchmarks.data.loading import ordered_map
from pretrain.data.coco import CocoFile, Instance
from pretrain.data.decode import DecodeError, probe
from pretrain.progress import Progress

_SIZES_READ = 200  # images of a COCO file whose size is compared with the file's


class TransferFolder:
    """The data of a fine-tuning; which files it holds is the recipe's business.

    Args:
        root: the folder that takes the place of the recipe's ``data_root``; None = the recipe's.

    Attributes:
        checked: {key of what was checked: notes}, so that a second seed reads no label again.

    Raises:
        FileNotFoundError: no such folder.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        if root is not None and not Path(root).is_dir():
            raise FileNotFoundError(f"no data folder {root} (docs/data.md shows the layouts)")
        self.root = root
        self.checked: dict[str, tuple[str, ...]] = {}

    @classmethod
    def arguments(cls, layout: str, root: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
        """Arguments from ``classes:ROOT``; the recipe knows the layout."""
        return dict(root=root) | dict(options) if layout == "classes" else None

    @classmethod
    def wanted(cls) -> str:
        """What it reads, for messages."""
        return "folder of the recipe's data, 'classes:ROOT'"


@dataclass(frozen=True)
class LabelMaps:
    """Images with label maps, and how a recipe reads their values.

    Attributes:
        part: what messages call it: ``train``, ``val`` or ``test``.
        pairs: image and label map.
        classes: names, in the order of their numbers.
        first: value of the first class.
        ignore: values that count nowhere.
    """

    part: str
    pairs: Sequence[tuple[Path, Path]]
    classes: Sequence[str]
    first: int
    ignore: tuple[int, ...]


def check_label_maps(maps: LabelMaps, progress: Progress | None = None) -> tuple[str, ...]:
    """Reads all label maps.

    Returns:
        Notes: the classes that occur in no label map.

    Raises:
        ValueError: no images; a label map that is missing, not readable, in colours, of other
            values than the recipe's classes, or of another size than its image; no labelled pixel.
    """
    if not maps.pairs:
        raise ValueError(f"the {maps.part} part has no images; check the folders and --data")
    table = value_table(tuple(range(maps.first, maps.first + len(maps.classes))), maps.ignore)
    last = maps.first + len(maps.classes) - 1
    advice = (
        f"the recipe has {len(maps.classes)} classes, values {maps.first} to {last}, and ignores "
        f"{' and '.join(map(str, maps.ignore)) or 'none'}, this label map holds {{values}}: check "
        "the list of classes (classes.json) or convert the label maps"
    )
    seen = np.zeros(len(maps.classes), np.int64)

    def classes_in(pair: tuple[Path, Path]) -> np.ndarray:
        return _classes_in(*pair, table=table, advice=advice)

    for done, present in enumerate(ordered_map(classes_in, maps.pairs, ahead=32), start=1):
        seen[present] += 1
        if progress is not None and (done % 100 == 0 or done == len(maps.pairs)):
            progress(f"check {maps.part} label maps", done, len(maps.pairs))
    if not seen.any():
        raise ValueError(
            f"the {maps.part} part has no labelled pixel: all {len(maps.pairs)} label maps hold "
            "ignored values only"
        )
    return _absent(maps.part, [maps.classes[number] for number in np.flatnonzero(seen == 0)])


def _classes_in(image: Path, mask: Path, *, table: np.ndarray, advice: str) -> np.ndarray:
    """The classes of one label map, after all that is asked of it."""
    if not mask.is_file():
        raise ValueError(f"{image} has no label map: {mask} is not there")
    labels = class_numbers(mask, table, advice=advice)
    try:
        size = probe(image.read_bytes())
    except DecodeError as error:
        raise ValueError(f"{image}: {error}") from error
    check_size(labels, mask, size=size, image=image)
    return np.unique(labels[labels >= 0])


def _absent(part: str, names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        return ()
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (f"no image of the {part} part has the classes {', '.join(names[:5])}{more}",)


def check_coco(
    path: Path, *, images: Path, classes: Sequence[str], part: str, masks: bool = False
) -> tuple[str, ...]:
    """Checks a COCO file against a recipe's classes and the images.

    Args:
        path: the json file.
        images: folder of the images.
        classes: names of the recipe's classes.
        part: what messages call it.
        masks: whether the recipe wants an outline of every object.

    Returns:
        Notes: boxes that mmdet passes over, classes without an object.

    Raises:
        ValueError: what :class:`pretrain.data.coco.CocoFile` refuses; categories of one name,
            missing ones, or ones that have objects and are no class; boxes that are no numbers;
            objects without an outline; images that are missing or of another size; no object.
    """
    file = CocoFile("transfer", path, labels=True)
    names = dict(file.categories)
    _check_categories(file, list(names.values()), classes)
    counts: Counter[str] = Counter()
    empty = 0
    for instance in file.instances():
        counts[names[instance.category]] += 1
        empty += _is_empty(instance)
        if masks and not instance.row.get("segmentation"):
            raise file.fail(f"{instance.called} has no 'segmentation'; the recipe learns masks")
    unlisted = sorted(set(counts) - set(classes))
    if unlisted:
        listed = ", ".join(f"{name} ({counts[name]} objects)" for name in unlisted[:5])
        raise file.fail(
            f"the recipe's {len(classes)} classes lack {listed}, which mmdet would skip "
            "silently; add them to the classes (classes.json), or remove them from the file"
        )
    if sum(counts.values()) == empty:
        raise file.fail(f"the {part} part has no object with an area inside its image")
    _check_images(file, images)
    note = f"{empty} boxes of {path.name} have no area inside their image: mmdet skips them"
    absent = _absent(part, [name for name in classes if not counts[name]])
    return (note, *absent) if empty else absent


def _check_categories(file: CocoFile, names: Sequence[str], classes: Sequence[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise file.fail(
            f"several categories are called {twice[0]!r}; mmdet tells categories apart by name"
        )
    missing = [name for name in classes if name not in names]
    if missing:
        raise file.fail(
            f"has no category for {len(missing)} of the recipe's {len(classes)} classes: "
            f"{', '.join(missing[:5])}; it has {', '.join(names[:20])}"
        )


def _is_empty(instance: Instance) -> bool:
    """Whether mmdet passes over a box: less than a pixel wide or high, or outside the image."""
    x, y, width, height = instance.box()
    image_width, image_height = instance.file.size(instance.image)
    inside = min(x + width, image_width) > max(x, 0) and min(y + height, image_height) > max(y, 0)
    return width < 1 or height < 1 or not inside


def _check_images(file: CocoFile, folder: Path) -> None:
    """Every image is there; those that are opened have the size that the boxes are measured in."""
    names = [row["file_name"] for row in file.images.values()]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise file.fail(
            f"{len(missing)} of {len(file.images)} images are not in {folder}, "
            f"the first {missing[0]}"
        )
    keys = list(file.images)
    places = np.linspace(0, len(keys) - 1, min(len(keys), _SIZES_READ)).round().astype(int)
    for place in np.unique(places):
        path = folder / file.images[keys[place]]["file_name"]
        width, height = file.size(keys[place])
        try:
            size = probe(path.read_bytes())
        except DecodeError as error:
            raise ValueError(f"{path}: {error}") from error
        if size != (height, width):
            raise file.fail(
                f"image {path} (upright) is {size[1]}x{size[0]} pixels, the file says "
                f"{width:g}x{height:g}: its boxes are of another picture, or of one before its "
                "EXIF turn"
            )


def check_voc(
    names: Sequence[str],
    *,
    folder: Path,
    classes: Sequence[str],
    part: str,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Checks the boxes of a VOC list.

    Args:
        names: of the images, as the list has them.
        folder: holds ``Annotations`` and ``JPEGImages``.
        classes: names of the recipe's classes.
        part: what messages call it.
        progress: called as (phase, done, total).

    Returns:
        Notes: classes without an object.

    Raises:
        ValueError: no images; a file that is missing or no annotation; an object of no class of the
            recipe's, or whose box has no area; no object at all.
    """
    if not names:
        raise ValueError(f"the {part} part has no images; check the list and --data")
    counts: Counter[str] = Counter()

    def objects_of(name: str) -> list[str]:
        return _voc_objects(folder, name, classes)

    for done, called in enumerate(ordered_map(objects_of, names, ahead=32), start=1):
        counts.update(called)
        if progress is not None and (done % 500 == 0 or done == len(names)):
            progress(f"check {part} boxes", done, len(names))
    if not counts:
        raise ValueError(
            f"the {part} part has no object in {len(names)} files below {folder}/Annotations"
        )
    return _absent(part, [name for name in classes if not counts[name]])


def _voc_objects(folder: Path, name: str, classes: Sequence[str]) -> list[str]:
    """The classes of one image's objects."""
    path, image = folder / "Annotations" / f"{name}.xml", folder / "JPEGImages" / f"{name}.jpg"
    for needed in (path, image):
        if not needed.is_file():
            raise ValueError(f"image {name!r} of the list: {needed} is not there")
    try:
        objects = ElementTree.parse(path).getroot().findall("object")
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: not a VOC annotation ({error})") from error
    names = []
    for thing in objects:
        called, box = thing.findtext("name", ""), thing.find("bndbox")
        if called not in classes:
            raise ValueError(
                f"{path} has an object {called!r}, which is none of the {len(classes)} classes"
            )
        try:
            left, top, right, bottom = (
                float(box.findtext(tag)) for tag in ("xmin", "ymin", "xmax", "ymax")
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: the box of a {called} is not four numbers") from error
        if not (left < right and top < bottom):
            corners = f"x {left:g} to {right:g}, y {top:g} to {bottom:g}"
            raise ValueError(f"{path}: the box of a {called} has no area: {corners}")
        names.append(called)
    return names
