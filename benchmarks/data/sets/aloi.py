"""ALOI (Geusebroek et al. 2005): objects on a turntable, under lamps at several places and under
light of several colours.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.data.sets.image_set import ImageSet, Shown
from pretrain.data.folders import is_image, visible

_FOLDERS = {
    "view": "viewpoint",
    "ill": "illumination_direction",
    "col": "illumination_colour",
}


def read_aloi(root: Path) -> list[ImageSet]:
    """Reads what there is of the three collections; a set is all images of one object in one of
    them, and every object is a class.

    Args:
        root: Holds ``view``, ``ill`` and ``col``, or some of them, with a folder for each object.
            The archives' own folder (``png``, ``png2``, …) may lie between.

    Raises:
        FileNotFoundError: none of the three is there.
        ValueError: one holds no object, or an object's folder holds no image.
    """
    sets = []
    for name, factor in _FOLDERS.items():
        if (root / name).is_dir():
            sets += _read_collection(root / name, factor)
    if not sets:
        raise FileNotFoundError(
            f"{root} has none of the folders {', '.join(_FOLDERS)}: layout 'aloi' is "
            "view/OBJECT/*.png, ill/OBJECT/*.png and col/OBJECT/*.png, unpacked from "
            "aloi_red2_view.tar and its like"
        )
    return sets


def _read_collection(folder: Path, factor: str) -> list[ImageSet]:
    inner = [path for path in _folders(folder) if path.name.startswith("png")]
    objects = _folders(inner[0] if len(inner) == 1 else folder)
    if not objects:
        raise ValueError(f"{folder} holds no folder of an object, such as {folder / '1'}")
    sets = []
    for place in sorted(objects, key=_number):
        images = [Shown(path) for path in visible(place.iterdir()) if is_image(path)]
        if not images:
            raise ValueError(f"{place} holds no image")
        sets.append(ImageSet(factor, place.name, tuple(images)))
    return sets


def _folders(folder: Path) -> list[Path]:
    return [path for path in visible(folder.iterdir()) if path.is_dir()]


def _number(folder: Path) -> tuple[int, str]:
    """Sorts 2 before 10, and names behind numbers."""
    return int(folder.name) if folder.name.isdecimal() else 1 << 62, folder.name
