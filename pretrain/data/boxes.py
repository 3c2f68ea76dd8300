"""Annotated boxes as images of their own: what changes when every image shows one object."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS

from pretrain.data.choice import choose
from pretrain.data.folders import SourceError, require_folder
from pretrain.data.shots import Box, Shot, widened
from pretrain.data.sources import FilesBelow, read_categories, read_coco


@DATASETS.register_module()
class CocoBoxes(FilesBelow):
    """One sample for each annotated box of a COCO json file: views are cut from the box, grown by a margin.

    Sorted by file name, then by the annotation's place in the file. Crowds are left out, and so are boxes whose part
    inside the image is smaller than ``min_size`` in width or height (boxes without area always). For a comparison with
    whole images give this source and ``CocoImages`` the same ``count``: equal steps are then equal epochs.

    Args:
        annotations: The json file; ``images`` need their width and height.
        root: Folder of the images.
        margin: Added to each side, as a share of the box's width or height; cut off at the image's border.
        min_size: Pixels.
        label: None: unlabelled. "category": the box's category, as index into ``classes`` (categories sorted by id).
        count: How many of the boxes to use, chosen by ``seed`` (every subset equally likely); None: all.
        seed: of that choice alone; the run's seed does not enter.

    Raises:
        SourceError: file or folder is missing, the json is not COCO's, or no box is left.
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
        path = Path(annotations).expanduser()
        content = read_coco("CocoBoxes", path, ("images", "annotations", *(("categories",) if label else ())))
        categories = read_categories("CocoBoxes", path, content) if label else []
        found = _boxes(content, min_size, {c: i for i, (c, _) in enumerate(categories)} if label else None, path)
        chosen = [found[i] for i in choose(len(found), count, seed, source="CocoBoxes", unit="boxes")]
        names, labels, boxes = zip(*chosen, strict=True)
        super().__init__(
            folder, names, labels if label else None, classes=tuple(n for _, n in categories) if label else None
        )
        self.margin = margin
        self._boxes = np.asarray(boxes, dtype=np.float64)
        self._require_first(path)

    def box(self, index: int) -> Box:
        """Box ``index`` with its margin, ``(x1, y1, x2, y2)`` in the image's unit square."""
        return widened(tuple(self._boxes[index].tolist()), self.margin)

    def shots(self, index: int, rng: np.random.Generator) -> tuple[Shot, ...]:
        """The one region; draws nothing."""
        del rng
        return (Shot(self.name(index), lambda: self.read(index), self.box(index)),)


def _boxes(content: dict, min_size: float, index: dict[int, int] | None, path: Path) -> list[tuple[str, int, Box]]:
    """Returns (file name, label, box in the unit square) of every usable annotation, sorted by file name."""
    try:
        images = {image["id"]: (image["file_name"], image["width"], image["height"]) for image in content["images"]}
        found = []
        for annotation in content["annotations"]:
            name, width, height = images[annotation["image_id"]]
            label = 0 if index is None else index[annotation["category_id"]]
            if annotation.get("iscrowd"):
                continue
            left, top, w, h = annotation["bbox"]
            x1, y1, x2, y2 = max(0, left), max(0, top), min(width, left + w), min(height, top + h)
            if min(x2 - x1, y2 - y1) >= max(min_size, 1e-9):
                found.append((name, label, (x1 / width, y1 / height, x2 / width, y2 / height)))
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"CocoBoxes: {path}: 'images' need id, file_name, width and height, 'annotations' image_id and bbox of "
            f"four numbers (and category_id, one of 'categories', with label='category'): {error!r}"
        ) from error
    if not found:
        raise SourceError(
            f"CocoBoxes: {path} has {len(content['annotations'])} annotations, but no box of at least {min_size} × "
            f"{min_size} px that is no crowd; lower source.min_size"
        )
    return sorted(found, key=lambda entry: entry[0])
