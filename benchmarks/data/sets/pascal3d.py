"""PASCAL3D+ (Xiang et al. 2014): objects of twelve classes with their viewpoints."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from benchmarks.data.sets.image_set import Corners, ImageSet, Shown
from pretrain.data.folders import is_image, visible

_PARTS = ("imagenet", "pascal")
_BIN = 30  # degrees
_AZIMUTHS = 180 // _BIN  # bins: both sides of an object count as one
_ELEVATIONS = 90  # degrees, likewise


@dataclass(frozen=True)
class _Object:
    """An annotated object.

    Attributes:
        shown: its box. azimuth, elevation: degrees.
    """

    shown: Shown
    azimuth: float
    elevation: float

    @property
    def bins(self) -> tuple[int, int]:
        """Azimuth mod 180 and elevation mod 90, in bins of 30 degrees."""
        return int(self.azimuth % 180 // _BIN), int(self.elevation % _ELEVATIONS // _BIN)


def read_pascal3d(root: Path) -> list[ImageSet]:
    """Reads both parts: sets of other objects of a class seen from the same side (``instance``),
    and of other objects seen from other sides (``instance_viewpoint``).

    The objects are those of the class of their folder that have a box and a coarse viewpoint. An
    instance set holds all of one class in the same bins of azimuth and elevation; a set of
    instances and viewpoints holds the j-th object of each of the six bins of azimuth.

    Args:
        root: Holds ``Annotations/CLASS_PART/*.mat`` and ``Images/CLASS_PART/*``, with the parts
            ``imagenet`` and ``pascal``; or the folder around ``PASCAL3D+_release1.1``.

    Raises:
        FileNotFoundError: no such folders, or an annotation without its image.
        ValueError: an annotation that cannot be read, or no object with a viewpoint.
    """
    inner = root / "PASCAL3D+_release1.1"
    folder = inner if inner.is_dir() else root
    classes: dict[str, list[_Object]] = defaultdict(list)
    for name, part in _class_parts(folder):
        classes[name] += _read_part(folder, name, part)
    sets = []
    for name, objects in classes.items():
        sets += _same_side(name, objects) + _other_sides(name, objects)
    if not sets:
        raise ValueError(f"{folder}/Annotations: no object has a box and a coarse viewpoint")
    return sets


def _class_parts(folder: Path) -> list[tuple[str, str]]:
    """(class, part) of every folder of annotations, by class, ``imagenet`` before ``pascal``."""
    place = folder / "Annotations"
    found = []
    for path in visible(place.iterdir()) if place.is_dir() else []:
        name, _, part = path.name.rpartition("_")
        if part in _PARTS and path.is_dir():
            found.append((name, part))
    if not found:
        raise FileNotFoundError(
            f"{folder} has no folder Annotations/CLASS_imagenet or Annotations/CLASS_pascal: "
            "layout 'pascal3d' is the unpacked PASCAL3D+_release1.1"
        )
    return sorted(found)


def _read_part(folder: Path, name: str, part: str) -> list[_Object]:
    """The objects of one class in one part, by file."""
    place = folder / "Images" / f"{name}_{part}"
    images = {}
    for path in visible(place.iterdir()) if place.is_dir() else []:
        if is_image(path):
            images[path.stem] = path
    objects = []
    for path in visible((folder / "Annotations" / f"{name}_{part}").glob("*.mat")):
        if path.stem not in images:
            raise FileNotFoundError(f"{path} has no image {place / path.stem}.*")
        objects += _read_objects(path, images[path.stem], name)
    return objects


def _read_objects(path: Path, image: Path, name: str) -> list[_Object]:
    """The objects of a class in one annotation."""
    try:
        record = loadmat(path, variable_names=["record"], struct_as_record=False, squeeze_me=True)[
            "record"
        ]
        entries = np.atleast_1d(record.objects)
    except Exception as error:  # scipy names many kinds of damage by many exceptions
        raise ValueError(
            f"{path}: not readable as a MATLAB file with record.objects ({error})"
        ) from error
    objects = []
    for entry in entries:
        viewpoint = getattr(entry, "viewpoint", None)
        azimuth, elevation = (_angle(viewpoint, key) for key in ("azimuth", "elevation"))
        if getattr(entry, "class", None) == name and azimuth is not None and elevation is not None:
            objects.append(_Object(Shown(image, _box(entry, path)), azimuth, elevation))
    return objects


def _angle(viewpoint: Any, key: str) -> float | None:
    """The coarse angle in degrees, which every annotated object has; None where there is none."""
    value = np.asarray(getattr(viewpoint, f"{key}_coarse", ()))
    return float(value) if value.shape == () and np.isfinite(value) else None


def _box(entry: Any, path: Path) -> Corners:
    """The object's box, x1, y1, x2, y2."""
    box = np.asarray(getattr(entry, "bbox", ()), np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f"{path}: bbox of an object is not four numbers, x1, y1, x2, y2")
    return tuple(box.tolist())


def _same_side(name: str, objects: list[_Object]) -> list[ImageSet]:
    bins: dict[tuple[int, int], list[Shown]] = defaultdict(list)
    for one in objects:
        bins[one.bins].append(one.shown)
    return [ImageSet("instance", name, tuple(bins[key])) for key in sorted(bins)]


def _other_sides(name: str, objects: list[_Object]) -> list[ImageSet]:
    sets: list[list[Shown]] = []
    taken = [0] * _AZIMUTHS
    for one in objects:
        side = one.bins[0]
        if taken[side] == len(sets):
            sets.append([])
        sets[taken[side]].append(one.shown)
        taken[side] += 1
    return [ImageSet("instance_viewpoint", name, tuple(shown)) for shown in sets]
