"""Pairs of images whose keypoints correspond: semantic correspondence."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, permutations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.base import LabelledData
from benchmarks.data.layout import Points
from benchmarks.data.layouts import LAYOUTS, layouts_with, require_root
from benchmarks.data.loading import file_size, fingerprint
from pretrain.data.decode import DecodeError, decode_file, probe
from pretrain.data.folders import EXTENSIONS, is_image, visible
from pretrain.files import sha256_of
from pretrain.names import check_choice

_SLACK = 1.0  # pixels that a keypoint may lie outside its image: annotators clicked on the border


@dataclass(frozen=True)
class KeypointImage:
    """One image and its keypoints; point k of every image in ``folder`` marks the same part of an
    object.

    Attributes:
        path: of the image. folder: the subset it belongs to.
        size: (H, W) in pixels.
        points: (K, 2) float64 x, y in pixels, the image's corner at (0, 0).
    """

    path: Path
    folder: str
    size: tuple[int, int]
    points: np.ndarray

    @property
    def box(self) -> tuple[float, float]:
        """(height, width) in pixels of the keypoints' bounding box, what stands for the object's
        box in PF-WILLOW.
        """
        width, height = np.ptp(self.points, axis=0)
        return float(height), float(width)


class KeypointPairs(LabelledData):
    """Image pairs with corresponding keypoints; there is no train part, nothing is fitted.

    Every ordered pair of two images of a folder is a pair.

    Args:
        root: Folder of the subsets, or the folder around it.
        layout: One of those with keypoints in :mod:`benchmarks.data.layouts`: ``pfwillow`` (Ham et
            al. 2016, arXiv 1511.05065).
        every: Take every n-th pair.
        allow_shared: Accept pairs of an image with its own copy; the protocol then counts these
            images (``shared_images``).

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no pair; an image without keypoints or the reverse; two images of one name; a
            copy of an image in its subset; a file that is not readable; keypoints that are not
            finite, lie outside their image or whose number differs within a subset.
    """

    labels, word = "points", "keypoint"

    def __init__(
        self,
        root: str | Path,
        layout: str = "pfwillow",
        *,
        every: int = 1,
        allow_shared: bool = False,
    ) -> None:
        check_choice("layout", layout, layouts_with(self.labels))
        self.root, self.layout = Path(root).expanduser(), layout
        points = LAYOUTS[layout].points
        self.relative_to = points.relative_to
        if type(every) is not int or every < 1:
            raise ValueError(f"every={every!r} must be at least 1, a whole number")
        require_root(self.root)
        self.images = _read_folders(self.root, points)
        self.pairs = _ordered_pairs(self.images)[::every]
        if not self.pairs:
            raise ValueError(
                f"{self.root}: no two images with keypoints in one folder; layout {layout!r} is "
                f"{points.about}"
            )
        rows = []
        for image in self.images:
            name = f"{image.folder}/{image.path.name}"
            rows.append((name, file_size(image.path), image.points.tobytes().hex()))
        self._settings = dict(layout=layout, every=every, content=fingerprint(rows))
        self._settings |= _check_copies(self.images, allow_shared=allow_shared)

    @property
    def scored_files(self) -> list[Path]:
        """See :class:`LabelledData`."""
        return [image.path for image in self.images]

    @property
    def protocol(self) -> dict[str, Any]:
        """See :class:`LabelledData`."""
        used = set(chain.from_iterable(self.pairs))
        return dict(**self._settings, images=len(used), pairs=len(self.pairs))

    @property
    def groups(self) -> list[int]:
        """The subset of each pair, by its number: pairs of one subset share images, as sources and
        as targets, so that only subsets are drawn independently.
        """
        folders = [self.images[source].folder for source, _ in self.pairs]
        numbers = {folder: number for number, folder in enumerate(dict.fromkeys(folders))}
        return [numbers[folder] for folder in folders]

    def read(self, index: int) -> np.ndarray:
        """Reads image ``index`` as (H, W, 3) uint8 RGB.

        Raises:
            ValueError: not readable; names the file.
        """
        return decode_file(self.images[index].path)


def _read_folders(root: Path, points: Points) -> list[KeypointImage]:
    """All annotated images below ``root``, by folder and name; names that begin with a dot are left
    out.
    """
    files = visible(root.rglob(points.files))
    images = [_read_image(file, root, points) for file in files]
    known = {image.path for image in images}
    for folder in dict.fromkeys(file.parent for file in files):
        bare = [path.name for path in _images_in(folder) if path not in known]
        if bare:
            raise ValueError(
                f"{folder}: {len(bare)} images without keypoints, the first: {bare[:3]}; "
                f"{points.files.replace('*', 'NAME')} belongs next to each"
            )
    return images


def _images_in(folder: Path) -> list[Path]:
    return [path for path in visible(folder.iterdir()) if is_image(path)]


def _read_image(file: Path, root: Path, points: Points) -> KeypointImage:
    """The image beside a file of keypoints, with these."""
    before, _, behind = points.files.partition("*")
    stem = file.name.removeprefix(before).removesuffix(behind)
    near = [path for path in _images_in(file.parent) if path.stem == stem]
    if not near:
        raise ValueError(
            f"{file} has no image next to it: looked for {stem} with {', '.join(EXTENSIONS)}"
        )
    if len(near) > 1:
        names = [path.name for path in near]
        raise ValueError(f"{file} has {len(near)} images next to it, {names}: leave one there")
    try:
        height, width = probe(near[0].read_bytes())
    except DecodeError as error:
        raise ValueError(f"{near[0]}: {error}") from error
    marks = points.read(file)
    outside = (marks < -_SLACK) | (marks > np.array([width, height]) + _SLACK)
    if outside.any():
        first = marks[outside.any(1)][0].tolist()
        raise ValueError(
            f"{file}: keypoint {first} lies outside its image of {width} x {height} pixels "
            "(upright)"
        )
    return KeypointImage(near[0], file.parent.relative_to(root).as_posix(), (height, width), marks)


def _check_copies(images: list[KeypointImage], *, allow_shared: bool) -> dict[str, int]:
    """Refuses an image and its copy in one folder, which would be a pair that asks nothing; returns
    what the protocol says about those that are accepted."""
    first: dict[tuple[str, str], Path] = {}
    copies = 0
    for image in images:
        key = image.folder, sha256_of(image.path)
        original = first.setdefault(key, image.path)
        if original is image.path:
            continue
        copies += 1
        if not allow_shared:
            raise ValueError(
                f"{image.path} is a copy of {original}, so the two make a trivial pair; delete "
                "one with its keypoints. If you mean it, set allow_shared=True; the record's "
                "protocol then says so"
            )
    return dict(shared_images=copies) if copies else {}


def _ordered_pairs(images: list[KeypointImage]) -> list[tuple[int, int]]:
    """(source, target) indices of every ordered pair within a folder."""
    folders: dict[str, list[int]] = {}
    for index, image in enumerate(images):
        folders.setdefault(image.folder, []).append(index)
    for folder, members in folders.items():
        counts = {len(images[i].points) for i in members}
        if len(counts) > 1:
            raise ValueError(
                f"folder {folder!r}: images have {sorted(counts)} keypoints; all must have the same"
            )
    return list(chain.from_iterable(permutations(members, 2) for members in folders.values()))
