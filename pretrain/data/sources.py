"""Sources: where the bytes of image number i come from, what it is called, and its label if there is one.

All are registered in mmengine's ``DATASETS``, list their images in a deterministic order, and fail when they are
made, not hours later, if there is nothing to read. A new source only has to satisfy :class:`Source`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from mmengine.registry import DATASETS

from pretrain.data.choice import choose
from pretrain.data.folders import EXTENSIONS, SourceError, class_folders, list_images, require_folder

#: Label of an image that has none although its source is labelled.
NO_LABEL = -1


@runtime_checkable
class Source(Protocol):
    """What the data set of views needs of a source. Must survive pickling, for workers that are spawned."""

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

    A million Python strings would be copied bit by bit into every worker process, because counting a reference
    writes to the page that it lies on; one bytes object and one array stay shared.
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
        self, root: Path, names: Sequence[str], labels: Sequence[int] | None, *, classes: tuple[str, ...] | None
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
        """One look at the disk finds a wrong ``root``; looking at every file would take minutes on a network disk."""
        if not os.path.exists(self.name(0)):
            raise SourceError(
                f"{type(self).__name__}: {described_by} lists {self._names[0]!r}, but {self.name(0)} does not exist; "
                f"set root to the folder that the listed paths start from (it is {str(self.root)!r})"
            )


@DATASETS.register_module()
class ImageFolder(FilesBelow):
    """All images below a folder, at any depth, sorted by path.

    If no image lies in ``root`` itself and at least two of its folders hold images, these folders are the classes
    (sorted by name; a folder without images is none). Otherwise the source is unlabelled, and ``unlabelled`` says why.
    Folders that are parts of a data set (train, val, test, …) are refused at the place of classes. Symbolic links are
    followed; names that begin with a dot are left out. The rule is that of :mod:`pretrain.data.folders`.

    Args:
        root: The folder.
        extensions: What counts as an image, case ignored.
        labels: None: class folders are the labels if there are any. True: there must be. False: a tree of folders is
            read without taking them for classes.
        exclude: Names of files and folders to leave out at any depth, or paths below ``root``, with ``*`` for any
            characters: ``["masks", "*_mask.png"]``.

    Raises:
        SourceError: ``root`` is missing, is no folder, or holds no image; its folders are parts and not classes; there
            are no class folders though ``labels`` is True; something to exclude does not exist.
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
            raise SourceError(f"ImageFolder: labels=True, but there are no class folders: {self.unlabelled}")
        if not classes:
            super().__init__(folder, names, None, classes=None)
            return
        index = {name: i for i, name in enumerate(classes)}
        tops = [name.split(os.sep, 1)[0] for name in names]
        super().__init__(folder, names, [index[top] for top in tops], classes=classes)


@DATASETS.register_module()
class FileList(FilesBelow):
    """Images named by a text file, one path per line, in the file's order.

    A line is ``path`` or ``path label``; the label is a whole number from 0 on, behind the last tab or blank
    (a path ending in a blank and a number therefore needs a label, too). All lines have a label or none has.

    Args:
        path: The text file (UTF-8). Empty lines are skipped.
        root: Folder that relative paths start from; empty: the folder that the process runs in.

    Raises:
        SourceError: the list is missing or empty, only a part of it has labels, or its first image does not exist.
    """

    def __init__(self, path: str | Path, root: str | Path = "") -> None:
        path = Path(path).expanduser()
        if not path.is_file():
            state = "is a folder" if path.is_dir() else "does not exist"
            raise SourceError(f"FileList: path={path} {state}; legal is a text file with one image path per line")
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        if not lines:
            raise SourceError(f"FileList: {path} is empty; write one image path per line")
        matches = [re.fullmatch(r"(.*\S)[\t ]+(\d+)", line) for line in lines]
        labelled = sum(match is not None for match in matches)
        if 0 < labelled < len(lines):
            odd = next(line for line, match in zip(lines, matches, strict=True) if match is None)
            raise SourceError(
                f"FileList: {path}: {labelled} of {len(lines)} lines end in a label, this one does not: {odd!r}; give "
                "all lines a whole number from 0 on, or none"
            )
        folder = require_folder("FileList", root) if str(root) else Path("")
        if labelled:
            labels = [int(match[2]) for match in matches]
            classes = tuple(str(i) for i in range(max(labels) + 1))
            super().__init__(folder, [match[1] for match in matches], labels, classes=classes)
        else:
            super().__init__(folder, lines, None, classes=None)
        self._require_first(path)


@DATASETS.register_module()
class CocoImages(FilesBelow):
    """The images of a COCO json file, sorted by file name.

    Args:
        annotations: The json file, of which ``images`` is read, and with a label ``annotations`` and ``categories``.
        root: Folder of the images.
        label: None: unlabelled. "largest": the category, as index into ``classes`` (categories sorted by id), of
            the instance with the largest area; crowds do not count, of equal areas the smaller id wins. An image
            without instances has the label -1 (:data:`NO_LABEL`), which losses and benchmarks have to leave out.
        count: How many of the images to use, chosen by ``seed`` (every subset equally likely); None: all.
        seed: of that choice alone; the run's seed does not enter.

    Raises:
        SourceError: file or folder is missing, the json is not COCO's, or it lists no image.
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
        path = Path(annotations).expanduser()
        wanted = ("images",) if label is None else ("images", "annotations", "categories")
        content = read_coco("CocoImages", path, wanted)
        if not content["images"]:
            raise SourceError(f"CocoImages: {path} lists no image ('images' is empty)")
        try:
            images = sorted((image["file_name"], image["id"]) for image in content["images"])
        except (KeyError, TypeError) as error:
            raise SourceError(f"CocoImages: {path}: each of 'images' needs file_name and id ({error!r})") from error
        images = [images[i] for i in choose(len(images), count, seed, source="CocoImages", unit="images")]
        names = [name for name, _ in images]
        if label is None:
            super().__init__(folder, names, None, classes=None)
        else:
            categories = read_categories("CocoImages", path, content)
            largest = _largest_category(content["annotations"], {c: i for i, (c, _) in enumerate(categories)}, path)
            labels = [largest.get(image_id, NO_LABEL) for _, image_id in images]
            super().__init__(folder, names, labels, classes=tuple(name for _, name in categories))
        self._require_first(path)


def read_coco(source: str, path: Path, keys: tuple[str, ...]) -> dict:
    """Reads a COCO json file that must hold the lists ``keys``; ``source`` is the caller's name, for messages.

    Raises:
        SourceError: the file is missing, no json, or lacks a list.
    """
    if not path.is_file():
        raise SourceError(f"{source}: annotations={path} does not exist; legal is a COCO json file")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise SourceError(f"{source}: {path} is no valid json: {error}") from error
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise SourceError(f"{source}: {path} has no list {', '.join(map(repr, missing))}; legal is a COCO json file")
    return content


def read_categories(source: str, path: Path, content: dict) -> list[tuple[int, str]]:
    """Returns (id, name) of a COCO file's categories, by id; raises SourceError if one lacks either."""
    try:
        return sorted((category["id"], category["name"]) for category in content["categories"])
    except (KeyError, TypeError) as error:
        raise SourceError(f"{source}: {path}: each of 'categories' needs id and name ({error!r})") from error


def _largest_category(annotations: list[dict], index: dict[int, int], path: Path) -> dict[int, int]:
    """Image id -> index of the category of its largest instance."""
    best: dict[int, tuple[float, int]] = {}
    try:
        for annotation in annotations:
            if annotation.get("iscrowd"):
                continue
            image, category, area = annotation["image_id"], annotation["category_id"], annotation.get("area")
            if category not in index:
                raise SourceError(f"CocoImages: {path}: an annotation has category_id {category}, not in 'categories'")
            if area is None:  # some converters leave it out
                _, _, width, height = annotation["bbox"]
                area = width * height
            # the second entry is negated so that the larger tuple has the smaller category
            best[image] = max(best.get(image, (-1.0, 0)), (area, -index[category]))
    except (KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"CocoImages: {path}: each of 'annotations' needs image_id, category_id, and area or bbox ({error!r})"
        ) from error
    return {image: -negated for image, (_, negated) in best.items()}
