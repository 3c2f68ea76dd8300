"""Annotated boxes as images of their own: what changes when every image shows one object."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS

from pretrain.data.choice import choose
from pretrain.data.coco import CocoFile
from pretrain.data.decode import DecodeError, probe
from pretrain.data.folders import SourceError, require_folder
from pretrain.data.source_image import Box, SourceImage, WrongSize, check_size, widened
from pretrain.data.sources import FilesBelow

#: How many files are looked at when the source is made.
LOOKS = 32


@DATASETS.register_module()
class CocoBoxes(FilesBelow):
    """One sample for each annotated box of a COCO json file: views are cut from the box, grown by a
    margin.

    Sorted by file name, then by the annotation's place in the file. Crowds are left out, and so are
    boxes whose part inside the image is smaller than ``min_size`` in width or height (boxes without
    area always). For a comparison with whole images give this source and ``CocoImages`` the same
    ``count``: equal steps are then equal epochs.

    Args:
        annotations: The json file; ``images`` need their width and height, those of the upright
            image. A file of another shape is refused: its boxes would be shifted. (One of the same
            shape but another scale is not.)
        root: Folder of the images.
        margin: Added to each side, as a share of the box's width or height; cut off at the image's
            border.
        min_size: Pixels.
        label: None: unlabelled. "category": the box's category, as index into ``classes``
            (categories sorted by id).
        count: How many of the boxes to use, chosen by ``seed`` (every subset equally likely); None:
            all.
        seed: of that choice alone; the run's seed does not enter.

    Raises:
        SourceError: file or folder is missing, the json is not COCO's (see
            :class:`pretrain.data.coco.CocoFile`), no box is left, or one of the files looked at has
            another shape than the json says.
        ValueError: an option is out of range, or there are fewer boxes than ``count``.
    """

    def __init__(
        self,
        annotations: str | Path,
        root: str | Path,
        *,
        margin: float = 0.1,
        min_size: float = 32,
        label: str | None = None,
        count: int | None = None,
        seed: int = 0,
    ) -> None:
        if label not in (None, "category"):
            raise SourceError(f"CocoBoxes: label={label!r}; legal are None and 'category'")
        for option, value in (("margin", margin), ("min_size", min_size)):
            if not 0 <= value < math.inf:
                raise ValueError(f"CocoBoxes: {option}={value}; legal is a number from 0 on")
        folder = require_folder("CocoBoxes", root)
        file = CocoFile("CocoBoxes", annotations, labels=label is not None, instances=True)
        usable = _boxes(file, min_size)
        chosen = choose(len(usable), count, seed, source="CocoBoxes", unit="boxes")
        names, labels, boxes, sizes = zip(*(usable[i] for i in chosen), strict=True)
        classes = tuple(name for _, name in file.categories) if label else None
        super().__init__(folder, names, labels if label else None, classes=classes)
        self.margin = margin
        self._boxes = np.asarray(boxes, dtype=np.float64)
        self._sizes = np.asarray(sizes, dtype=np.float64)
        self._require_first(file.path)
        self._require_sizes(file)

    def box(self, index: int) -> Box:
        """Box ``index`` with its margin, ``(x1, y1, x2, y2)`` in the image's unit square."""
        return widened(tuple(self._boxes[index].tolist()), self.margin)

    def source_images(self, index: int, rng: np.random.Generator) -> tuple[SourceImage, ...]:
        """The one region; draws nothing."""
        del rng
        box, size = self.box(index), self._size(index)
        return (SourceImage(self.name(index), lambda: self.read(index), box, size=size),)

    def _size(self, index: int) -> tuple[float, float]:
        """(H, W) in pixels of the image of box ``index``, as the json has it."""
        return tuple(self._sizes[index].tolist())

    def _require_sizes(self, file: CocoFile) -> None:
        """Looks at some files, to find a json of other sizes at once; the others when read."""
        for index in np.unique(np.linspace(0, len(self) - 1, LOOKS).round().astype(int)).tolist():
            try:
                check_size(self._size(index), probe(self.read(index)))
            except OSError:
                continue  # missing and broken files are counted in training, as everywhere
            except WrongSize as error:
                raise file.fail(f"{self.name(index)}: {error}") from error
            except DecodeError:
                continue


def _boxes(file: CocoFile, min_size: float) -> list[tuple[str, int, Box, tuple[float, float]]]:
    """Returns (file name, label, box in the unit square, (H, W)) of the usable annotations."""
    index = {key: i for i, (key, _) in enumerate(file.categories)}
    usable = []
    for instance in file.instances():
        width, height = file.size(instance.image)
        left, top, w, h = instance.box()
        x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + w), min(height, top + h)
        if min(x2 - x1, y2 - y1) >= max(min_size, 1e-9):
            name, label = file.images[instance.image]["file_name"], index.get(instance.category, 0)
            box = (x1 / width, y1 / height, x2 / width, y2 / height)
            usable.append((name, label, box, (height, width)))
    if not usable:
        raise file.fail(
            f"it has {len(file.annotations)} annotations, but no box of at least {min_size} × "
            f"{min_size} px that is not a crowd; lower source.min_size"
        )
    return sorted(usable, key=lambda entry: entry[0])
