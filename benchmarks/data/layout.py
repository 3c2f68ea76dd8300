"""What a layout says: where a labelled data set keeps its files, and what their raw values mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.data.correspondences.pair import PairSet
from benchmarks.data.correspondences.view import View
from benchmarks.data.label_maps import value_table
from benchmarks.data.sets.image_set import ImageSet

_ADVICE = (
    "is layout= the right one? layout='plain' takes the values themselves, values={values} for "
    "this mask"
)


@dataclass(frozen=True)
class Masks:
    """Masks of classes.

    Attributes:
        files: Where they lie, see :class:`Layout`.
        values: Raw mask values of classes 0, 1, …, C - 1.
        ignore: Raw mask values that count nowhere.
        classes: The class of each of ``values`` where several are one class; empty: each is one.
        names: Class names, empty if not known.
        of_split: Where the masks of single parts lie, if elsewhere.
        complete: What stands in the data set itself, such as the names of its classes:
            ``complete(masks, root)`` returns the masks with it.
        declared: Whether the user says what the classes are.
        advice: What to do about mask values that the layout does not know, as the end of a
            sentence.
        about: What raw values mean, for the list of layouts.
    """

    files: str
    values: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    of_split: Mapping[str, str] = field(default_factory=dict)
    complete: Callable[[Masks, Path], Masks] | None = None
    declared: bool = False
    advice: str = _ADVICE
    about: str = ""

    def table(self, keep_ignored: bool) -> np.ndarray:
        """Raw value -> class, (65536,) int16, with ``IGNORE`` and ``UNKNOWN``.

        Args:
            keep_ignored: Make one more class, the last, of the ignored values.
        """
        return value_table(
            self.values, self.ignore, classes=self.classes, keep_ignored=keep_ignored
        )

    @property
    def count(self) -> int:
        """C."""
        return max(self.classes) + 1 if self.classes else len(self.values)


@dataclass(frozen=True)
class PairLists:
    """Text files that name the pairs of a part, an image and a label map per line.

    Attributes:
        files: Name of the list of a part below the root, with ``{split}``.
        images: Folders below the root that a line's image may count from; the first that holds it.
        labels: Likewise of the label map.
    """

    files: str
    images: tuple[str, ...] = ("",)
    labels: tuple[str, ...] = ("",)


@dataclass(frozen=True)
class DepthMaps:
    """Depth maps.

    Attributes:
        files: Where they lie, see :class:`Layout`; empty where lists say it.
        scale: Values per metre; None: 1000 for whole numbers, 1 for floats.
        about: What raw values mean, for the list of layouts.
        lists: Lists that name the pairs of each part; None: the names of the files pair them.
        arrays: Name of the array of depths in a single file that holds the whole set, see
            :mod:`benchmarks.data.nyu_labelled`; empty: every map is a file.
    """

    files: str
    scale: float | None = None
    about: str = ""
    lists: PairLists | None = None
    arrays: str = ""


@dataclass(frozen=True)
class NormalMaps:
    """Maps of surface normals.

    Attributes:
        files: Where they lie, see :class:`Layout`.
        about: What raw values mean, for the list of layouts.
    """

    files: str
    about: str = ""


@dataclass(frozen=True)
class Points:
    """Keypoints, one file per image, beside it; point k of every image in a folder marks the same
    part of an object.

    Attributes:
        files: What their names look like, at any depth below the root; the star stands for the
            image's name without its ending.
        read: Reads a file as (K, 2) float64, x and y in pixels, the image's corner at (0, 0).
        relative_to: What distances are measured against: ``box`` or ``image``.
        about: How files look, for messages and the list of layouts.
    """

    files: str
    read: Callable[[Path], np.ndarray]
    relative_to: str
    about: str


@dataclass(frozen=True)
class PointPairs:
    """Pairs of images with points that both show, as the data set or its authors list them.

    Attributes:
        read: Reads a part below a root.
        parts: Names of the parts, the first is taken unless the user names one.
        relative_to: What distances are measured against: ``box`` or ``image``.
        about: How files look, for messages and the list of layouts.
    """

    read: Callable[[Path, str], PairSet]
    parts: tuple[str, ...]
    relative_to: str
    about: str


@dataclass(frozen=True)
class Sets:
    """Sets of images in which one factor varies.

    Attributes:
        files: Where they lie, for the list of layouts.
        read: Reads the sets below a root.
        side: Side of the square input in pixels that the published measure uses.
        about: What makes a set, for the list of layouts.
    """

    files: str
    read: Callable[[Path], list[ImageSet]]
    side: int
    about: str


@dataclass(frozen=True)
class Videos:
    """Videos with a mask of objects for every frame.

    Attributes:
        files: The folder of masks; frames lie in the layout's ``images``. Each holds a folder per
            sequence, whose names are in ``listing``.
        about: What raw values mean, for the list of layouts.
    """

    files: str
    about: str


@dataclass(frozen=True)
class Views:
    """Views of objects with depth and cameras.

    Attributes:
        read: Reads all views below a root.
        about: How files look, for messages and the list of layouts.
    """

    read: Callable[[Path], list[View]]
    about: str


@dataclass(frozen=True)
class Layout:
    """One way of laying out a labelled data set, in one declaration.

    ``images`` and the files of masks, depth maps and normals are paths below the root in which
    ``{split}`` stands for the part. Without a star they are folders, and files of one stem make a
    pair. Each ``*`` stands for a piece of a file's or folder's name, and files whose pieces are
    equal make a pair; the files' ending may be left out.

    Attributes:
        name: What users call it.
        images: Where images lie.
        masks: Masks of classes, if there are any.
        depth: Depth maps, if there are any.
        points: Keypoints beside each image or by lists of pairs, if there are any.
        normals: Maps of surface normals, if there are any.
        sets: Sets of images in which one factor varies, if there are any.
        videos: Videos with masks of objects, if there are any.
        views: Views of objects with depth and cameras, if there are any.
        class_folders: Folder that holds class folders, empty for the root itself; None: there are
            none.
        splits: Our words ``train`` and ``val`` -> the layout's; others are taken as they are.
        inner: Folder that archives put around everything, looked for when the root lacks the image
            folder.
        listing: Text file with one name per line, or empty: all files are taken then.
        groups: Numbers the groups of image files that belong together, such as frames of one video,
            from 0; intervals over images draw them together. None: every image stands alone.
    """

    name: str
    images: str = ""
    masks: Masks | None = None
    depth: DepthMaps | None = None
    points: Points | PointPairs | None = None
    normals: NormalMaps | None = None
    sets: Sets | None = None
    videos: Videos | None = None
    views: Views | None = None
    class_folders: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    inner: str = ""
    listing: str = ""
    groups: Callable[[Sequence[Path]], list[int]] | None = None

    @property
    def grouped(self) -> bool:
        """Whether files lie in folders (of cities, say) one level below the images' and masks'
        folders.
        """
        return "*/" in self.images

    def has(self, labels: str) -> bool:
        """Whether it has ``masks``, ``depth``, ``normals``, ``points``, ``sets``, ``videos``,
        ``views`` or ``class_folders``.
        """
        return getattr(self, labels) is not None

    def split(self, name: str) -> str:
        """The layout's word for a split."""
        return self.splits.get(name, name)

    def label_files(self, labels: str, split: str) -> str:
        """Where the ``masks``, ``depth`` maps or ``normals`` of a split lie."""
        files = getattr(self, labels).files
        return self.masks.of_split.get(split, files) if labels == "masks" else files


def folder_of(root: Path, pattern: str, *, word: str) -> tuple[Path, tuple[str, ...]]:
    """Splits a path of a layout into the folder that is certain and the names below it.

    Args:
        root: Folder of the data set.
        pattern: As in :class:`Layout`.
        word: What stands for ``{split}``.

    Returns:
        The folder; what its files are called, one string per level, ``("*",)`` where the pattern is
        a folder.
    """
    pieces = pattern.replace("{split}", word).split("/")
    parts = tuple(piece for piece in pieces if piece not in ("", "."))
    fixed = next((index for index, part in enumerate(parts) if "*" in part), len(parts))
    start = Path("/") if pattern.startswith("/") else root
    return start.joinpath(*parts[:fixed]), parts[fixed:] or ("*",)
