"""Sources: where the bytes of image number i come from, what it is called, and its label if there
is one.

All are registered in mmengine's ``DATASETS``, list their images in a deterministic order, and fail
when they are made, not hours later, if there is nothing to read. A new source only has to satisfy
:class:`Source`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from mmengine.registry import DATASETS

from pretrain.data.choice import choose
from pretrain.data.coco import CocoFile, Id
from pretrain.data.folders import (
    EXTENSIONS,
    SourceError,
    class_folders,
    expanded,
    list_images,
    require_folder,
)
from pretrain.data.listings import read_lines

#: Label of an image that has none although its source is labelled.
NO_LABEL = -1
#: Larger numbers in a list of labels are no classes: each of them gets a name.
MAX_CLASSES = 1_000_000


@runtime_checkable
class Source(Protocol):
    """What the data set of views needs of a source. Must survive pickling, for workers that are
    spawned.
    """

    classes: tuple[str, ...] | None

    def __len__(self) -> int:
        """Number of images."""

    def read(self, index: int) -> bytes:
        """The encoded bytes of image ``index``. Raises OSError when they cannot be read."""

    def name(self, index: int) -> str:
        """What to call image ``index`` in messages, usually its path."""

    def label(self, index: int) -> int | None:
        """Index into ``classes``, :data:`NO_LABEL`, or None if the source has no labels at all."""


class FileNames:
    """An immutable list of file names in one block of memory.

    A million Python strings would be copied bit by bit into every worker process, because counting
    a reference writes to the page that it lies on; one bytes object and one array stay shared.
    """

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [os.fsencode(name) for name in names]  # also names that are not valid UTF-8
        self._block = b"".join(encoded)
        self._ends = np.cumsum([len(name) for name in encoded], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"image index {index}: legal are 0 to {len(self) - 1}")
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._block[start : self._ends[index]])


class FilesBelow:
    """Files below one folder: what the sources that read from disk share."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        labels: Sequence[int] | None,
        *,
        classes: tuple[str, ...] | None,
    ) -> None:
        self.root = root
        self.classes = classes
        self._names = FileNames(names)
        self._labels = None if labels is None else np.asarray(labels, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int) -> bytes:
        """The encoded bytes of image ``index``. Raises OSError when they cannot be read."""
        with open(self.name(index), "rb") as file:  # a Path would cost 0.1 ms, a tenth of decoding
            return file.read()

    def name(self, index: int) -> str:
        """Path of image ``index``."""
        return os.path.join(self.root, self._names[index])

    def label(self, index: int) -> int | None:
        """Index into ``classes``, :data:`NO_LABEL`, or None if the source has no labels."""
        return None if self._labels is None else int(self._labels[index])

    def _require_first(self, described_by: Path) -> None:
        """One look at the disk finds a wrong ``root``; looking at every file would take minutes on
        a network disk.
        """
        if not os.path.exists(self.name(0)):
            comma = (
                " (a comma separates nothing: write a tab between path and label, and no line of "
                "column names)"
            )
            raise SourceError(
                f"{type(self).__name__}: {described_by} lists {self._names[0]!r}, but "
                f"{self.name(0)} does not exist; set root to the folder that the listed paths "
                f"start from (it is {str(self.root)!r}){comma if ',' in self._names[0] else ''}"
            )


@DATASETS.register_module()
class ImageFolder(FilesBelow):
    """All images below a folder, at any depth, sorted by path.

    If no image lies in ``root`` itself and at least two of its folders hold images, these folders
    are the classes (sorted by name; a folder without images is none). Otherwise the source is
    unlabelled, and ``unlabelled`` says why. Folders that are parts of a data set (train, val, test,
    …) are refused at the place of classes. Symbolic links are followed; names that begin with a dot
    are left out. The rule is that of :mod:`pretrain.data.folders`.

    Args:
        root: The folder.
        extensions: What counts as an image, case ignored.
        labels: None: class folders are the labels if there are any. True: there must be. False: a
            tree of folders is read without taking them for classes.
        exclude: Names of files and folders to leave out at any depth, or paths below ``root``, with
            ``*`` for any characters: ``["masks", "*_mask.png"]``.

    Raises:
        SourceError: ``root`` is missing, is no folder, or holds no image; its folders are parts and
            not classes; there are no class folders though ``labels`` is True; something to exclude
            does not exist.
    """

    def __init__(
        self,
        root: str | Path,
        extensions: Sequence[str] = EXTENSIONS,
        labels: bool | None = None,
        *,
        exclude: Sequence[str] | str = (),
    ) -> None:
        folder = require_folder("ImageFolder", root)
        names = list_images("ImageFolder", folder, extensions=extensions, exclude=exclude)
        if labels is False:
            classes, self.unlabelled = (), "labels=False"
        else:
            classes, self.unlabelled = class_folders("ImageFolder", folder, names)
        if labels and not classes:
            raise SourceError(
                f"ImageFolder: labels=True, but there are no class folders: {self.unlabelled}"
            )
        if not classes:
            super().__init__(folder, names, None, classes=None)
            return
        labels = [classes.index(name.partition(os.sep)[0]) for name in names]
        super().__init__(folder, names, labels, classes=classes)


@DATASETS.register_module()
class FileList(FilesBelow):
    """Images named by a text file, one path per line, in the file's order.

    A line is ``path`` or ``path label``; the label is a whole number from 0 on, behind the last tab
    or blank (a path ending in a blank and a number therefore needs a label, too). All lines have a
    label or none has. A path may come several times, to be shown more often, but not with different
    labels.

    Args:
        path: The text file (UTF-8, with or without a byte order mark). Empty lines are skipped.
        root: Folder that relative paths start from; empty: the folder that the process runs in.

    Raises:
        SourceError: the list is missing or empty, only a part of it has labels, a label is
            :data:`MAX_CLASSES` or more, a path has two labels, or the first image does not exist.
    """

    def __init__(self, path: str | Path, root: str | Path = "") -> None:
        path = expanded(path)
        try:
            lines = read_lines(path)
        except SourceError as error:
            raise SourceError(f"FileList: path={error}") from error
        if not lines:
            raise SourceError(f"FileList: {path} is empty; write one image path per line")
        matches = [re.fullmatch(r"(.*\S)[\t ]+(\d+)", line) for line in lines]
        labelled = len(lines) - matches.count(None)
        if 0 < labelled < len(lines):
            odd = lines[matches.index(None)]
            raise SourceError(
                f"FileList: {path}: {labelled} of {len(lines)} lines end in a label, this one "
                f"does not: {odd!r}; give all lines a whole number from 0 on, or none"
            )
        folder = require_folder("FileList", root) if str(root) else Path("")
        if labelled:
            names = [match[1] for match in matches]
            labels = _whole_labels(path, names, [match[2] for match in matches])
            classes = tuple(map(str, range(max(labels) + 1)))
            super().__init__(folder, names, labels, classes=classes)
        else:
            super().__init__(folder, lines, None, classes=None)
        self._require_first(path)


def _whole_labels(path: Path, names: list[str], texts: list[str]) -> list[int]:
    """Returns the labels of a list; raises SourceError for no class's number and for two labels."""
    known: dict[str, str] = {}
    for name, text in zip(names, texts, strict=True):
        if len(text) > len(str(MAX_CLASSES)) or int(text) >= MAX_CLASSES:
            raise SourceError(
                f"FileList: {path}: {name!r} has the label {text}; legal are the numbers of "
                f"classes, 0 to {MAX_CLASSES - 1}. If it is the id of something, number the "
                "classes 0, 1, 2, …"
            )
        if known.setdefault(name, text) != text:
            raise SourceError(
                f"FileList: {path}: {name!r} has two labels, {known[name]} and "
                f"{text}; an image has one"
            )
    return list(map(int, texts))


@DATASETS.register_module()
class CocoImages(FilesBelow):
    """The images of a COCO json file, sorted by file name.

    Args:
        annotations: The json file, of which ``images`` is read, and with a label ``annotations``
            and ``categories``.
        root: Folder of the images.
        label: None: unlabelled. "largest": the category, as index into ``classes`` (categories
            sorted by id), of the instance with the largest area; crowds do not count, of equal
            areas the smaller id wins. An image without instances has the label -1
            (:data:`NO_LABEL`), which losses and benchmarks have to leave out; at least one image
            must have a label.
        count: How many of the images to use, chosen by ``seed`` (every subset equally likely);
            None: all.
        seed: of that choice alone; the run's seed does not enter.

    Raises:
        SourceError: file or folder is missing, the json is not COCO's (see
            :class:`pretrain.data.coco.CocoFile`), it lists no image, or none with a label.
        ValueError: there are fewer images than ``count``, or it or the seed is out of range.
    """

    def __init__(
        self,
        annotations: str | Path,
        root: str | Path,
        label: str | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        if label not in (None, "largest"):
            raise SourceError(f"CocoImages: label={label!r}; legal are None and 'largest'")
        folder = require_folder("CocoImages", root)
        file = CocoFile("CocoImages", annotations, labels=label is not None)
        if not file.images:
            raise SourceError(f"CocoImages: {file.path} lists no image ('images' is empty)")
        images = sorted((row["file_name"], key) for key, row in file.images.items())
        chosen = choose(len(images), count, seed, source="CocoImages", unit="images")
        images = [images[i] for i in chosen]
        names = [name for name, _ in images]
        if label is None:
            super().__init__(folder, names, None, classes=None)
        else:
            largest = _largest_category(file)
            labels = [largest.get(key, NO_LABEL) for _, key in images]
            if set(labels) == {NO_LABEL}:
                raise file.fail(
                    f"label='largest', but none of the {len(images)} images has an annotation "
                    f"that is not a crowd ({len(file.annotations)} annotations in all); leave "
                    "source.label out to train without labels"
                )
            classes = tuple(name for _, name in file.categories)
            super().__init__(folder, names, labels, classes=classes)
        self._require_first(file.path)


def _largest_category(file: CocoFile) -> dict[Id, int]:
    """Image id -> index of the category of its largest instance."""
    index = {key: i for i, (key, _) in enumerate(file.categories)}
    best: dict[Id, tuple[float, int]] = {}
    for instance in file.instances():
        # the second entry is negated so that the larger tuple has the smaller category
        entry = instance.area(), -index[instance.category]
        best[instance.image] = max(best.get(instance.image, entry), entry)
    return {image: -negated for image, (_, negated) in best.items()}
