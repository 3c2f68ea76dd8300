"""Blood cells (BCCD): VOC's XML files, rewritten as COCO files and in VOC's own folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.data.prepare.coco import PARTS, CocoFile
from benchmarks.data.prepare.folders import place, write_classes
from pretrain.data.listings import read_lines
from pretrain.progress import Progress

CLASSES = ("RBC", "WBC", "Platelets")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def write_bccd(root: Path, target: Path, progress: Progress | None = None) -> str:
    """Writes both layouts below ``target``; images are hard links.

    COCO: ``{train,val}2017/*.jpg``, ``annotations/instances_{train,val}2017.json``, boxes without
    masks. VOC 07+12: ``VOC2007`` and ``VOC2012`` with one half of the train list each as
    ``trainval.txt``, and the val list as ``VOC2007/ImageSets/Main/test.txt``, so that a recipe that
    trains on both years trains on the train list.

    Corners count from 1 in VOC's files. As mmdet's reader does, 1 is subtracted from all four of
    them.

    Args:
        root: Holds ``Annotations``, ``JPEGImages`` and ``ImageSets/Main/{train,val}.txt``.
        target: An existing folder.
        progress: Called with (images done, images in all).

    Returns:
        How many boxes were written and how many without area were dropped, as text.

    Raises:
        ValueError: a name listed twice, an XML file that is none, a number that is missing, or an
            object of another class; names the file.
    """
    lists = {part: _stems(root / "ImageSets" / "Main" / f"{part}.txt") for part in PARTS}
    total, done, boxes, dropped = sum(map(len, lists.values())), 0, 0, 0
    for part, stems in lists.items():
        file = CocoFile.of_classes(CLASSES)
        for number, stem in enumerate(stems, start=1):
            tree = _parse(root / "Annotations" / f"{stem}.xml")
            dropped += _drop_empty(tree.getroot(), stem)
            _add_image(file, tree.getroot(), number=number, stem=stem)
            year = "VOC2012" if part == "train" and number > len(stems) // 2 else "VOC2007"
            image = root / "JPEGImages" / f"{stem}.jpg"
            place(image, target / PARTS[part] / image.name)
            place(image, target / year / "JPEGImages" / image.name)
            (target / year / "Annotations").mkdir(exist_ok=True)
            tree.write(target / year / "Annotations" / f"{stem}.xml")
            done += 1
            if progress is not None:
                progress("images", done, total)
        file.write(target, part)
        boxes += len(file.annotations)
    half = len(lists["train"]) // 2
    _write_list(target / "VOC2007", "trainval", lists["train"][:half])
    _write_list(target / "VOC2012", "trainval", lists["train"][half:])
    _write_list(target / "VOC2007", "test", lists["val"])
    write_classes(target, CLASSES)
    return f"{boxes} boxes, {dropped} without area dropped"


def _stems(path: Path) -> list[str]:
    """Returns the names of a list, each once."""
    stems = read_lines(path)
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise ValueError(f"{path} lists {twice[0]!r} twice; list it once")
    return stems


def _parse(path: Path) -> ElementTree.ElementTree:
    try:
        return ElementTree.parse(path)
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not valid XML: {error}") from error


def _drop_empty(root: ElementTree.Element, stem: str) -> int:
    """Removes objects whose box has no area; returns how many."""
    empty = [thing for thing in root.iter("object") if not _is_box(_corners(thing, stem))]
    for thing in empty:
        root.remove(thing)
    return len(empty)


def _is_box(corners: tuple[int, int, int, int]) -> bool:
    left, top, right, bottom = corners
    return right > left and bottom > top


def _corners(thing: ElementTree.Element, stem: str) -> tuple[int, int, int, int]:
    return tuple(_number(thing, f"bndbox/{corner}", stem) for corner in _CORNERS)


def _number(element: ElementTree.Element, place: str, stem: str) -> int:
    text = element.findtext(place)
    try:
        return int(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{stem}.xml: {place} is {text!r}; legal are whole pixels") from error


def _add_image(file: CocoFile, root: ElementTree.Element, *, number: int, stem: str) -> None:
    size = _number(root, "size/height", stem), _number(root, "size/width", stem)
    file.add_image(number, f"{stem}.jpg", size)
    for thing in root.iter("object"):
        name, (left, top, right, bottom) = thing.findtext("name"), _corners(thing, stem)
        if name not in CLASSES:
            raise ValueError(
                f"{stem}.xml has an object of class {name!r}; known are {', '.join(CLASSES)}"
            )
        width, height = right - left, bottom - top
        box = (left - 1, top - 1, width, height)
        file.add_instance(number, CLASSES.index(name) + 1, box=box, area=width * height)


def _write_list(year: Path, name: str, stems: list[str]) -> None:
    path = year / "ImageSets" / "Main" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{stem}\n" for stem in stems))
