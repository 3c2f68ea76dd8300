"""Keypoints in a file beside each image: every ordered pair of two images of a folder is a pair."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np

from benchmarks.data.correspondences.pair import (
    KeypointImage,
    PairSet,
    PointPair,
    check_points,
    extent,
    size_of,
)
from benchmarks.data.loading import file_size
from pretrain.data.folders import EXTENSIONS, is_image, visible

_SLACK = 1.0  # pixels that a keypoint may lie outside its image: annotators clicked on the border


def read_folders(root: Path, files: str, read: Callable[[Path], np.ndarray]) -> PairSet:
    """All annotated images below ``root``, by folder and name; names that begin with a dot are left
    out. An object's box is that around its points.

    Args:
        root: Folder of the subsets, or the folder around it.
        files: What the files of points are called; the star stands for the image's name without
            its ending.
        read: Reads one as (K, 2) float64 x, y in pixels.

    Raises:
        ValueError: an image without keypoints or the reverse; two images of one name; a file that
            is not readable; keypoints that lie outside their image or whose number differs within
            a folder.
    """
    images, marks = [], []
    for file in visible(root.rglob(files)):
        path = _image_beside(file, files)
        points = read(file)
        image = KeypointImage(path, file.parent.relative_to(root).as_posix(), size_of(path))
        check_points(points, image, slack=_SLACK, where=file)
        images.append(image)
        marks.append(points)
    _require_marked(images, files)
    rows = []
    for image, points in zip(images, marks, strict=True):
        rows.append((image.name, file_size(image.path), points.tobytes().hex()))
    return PairSet(images, _ordered_pairs(images, marks), rows)


def _images_in(folder: Path) -> list[Path]:
    return [path for path in visible(folder.iterdir()) if is_image(path)]


def _image_beside(file: Path, files: str) -> Path:
    """The image that a file of keypoints belongs to."""
    before, _, behind = files.partition("*")
    stem = file.name.removeprefix(before).removesuffix(behind)
    near = [path for path in _images_in(file.parent) if path.stem == stem]
    if not near:
        raise ValueError(
            f"{file} has no image next to it: looked for {stem} with {', '.join(EXTENSIONS)}"
        )
    if len(near) > 1:
        names = [path.name for path in near]
        raise ValueError(f"{file} has {len(near)} images next to it, {names}: leave one there")
    return near[0]


def _require_marked(images: list[KeypointImage], files: str) -> None:
    """Refuses folders in which only some images have keypoints."""
    known = {image.path for image in images}
    for folder in dict.fromkeys(image.path.parent for image in images):
        bare = [path.name for path in _images_in(folder) if path not in known]
        if bare:
            raise ValueError(
                f"{folder}: {len(bare)} images without keypoints, the first: {bare[:3]}; "
                f"{files.replace('*', 'NAME')} belongs next to each"
            )


def _ordered_pairs(images: list[KeypointImage], marks: list[np.ndarray]) -> list[PointPair]:
    """Every ordered pair within a folder."""
    folders: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        folders.setdefault(image.folder, []).append(index)
    pairs = []
    for folder, members in folders.items():
        counts = {len(marks[i]) for i in members}
        if len(counts) > 1:
            raise ValueError(
                f"folder {folder!r}: images have {sorted(counts)} keypoints; all must have the same"
            )
        for source, target in permutations(members, 2):
            box = extent(marks[target]) if len(marks[target]) else None
            pairs.append(PointPair(source, target, marks[source], marks[target], box, folder))
    return pairs
