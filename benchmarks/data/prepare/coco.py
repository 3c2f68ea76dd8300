"""The pieces of a COCO annotation file and of its folder layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pretrain.files import atomic_write

PARTS = {"train": "train2017", "val": "val2017"}  # the folders that the libraries' own configs name


@dataclass
class CocoFile:
    """One ``instances_*.json`` in the making.

    Attributes:
        categories: ``id``, ``name``, in the order of the classes.
        images: Image rows so far.
        annotations: Instance rows so far; ids count from 1.
    """

    categories: list[dict[str, Any]]
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of_classes(cls, names: Sequence[str]) -> CocoFile:
        """A file whose categories are numbered 1, 2, …"""
        numbered = enumerate(names, start=1)
        return cls([dict(id=number, name=name, supercategory="") for number, name in numbered])

    def add_image(self, number: int, file_name: str, size: tuple[int, int]) -> None:
        """Adds an image; ``size`` is (height, width) in pixels."""
        self.images.append(dict(id=number, file_name=file_name, height=size[0], width=size[1]))

    def add_instance(
        self,
        image: int,
        category: int,
        *,
        box: Sequence[float],
        area: float,
        segmentation: Any = None,
        crowd: bool = False,
    ) -> None:
        """Adds an instance.

        Args:
            image: Id of its image.
            category: Id of its category.
            box: x, y, width, height in pixels.
            area: In square pixels.
            segmentation: Polygons or a run-length code; None where there is no mask.
            crowd: A region of many objects, which evaluation ignores.
        """
        row = dict(
            id=len(self.annotations) + 1,
            image_id=image,
            category_id=category,
            bbox=list(box),
            area=area,
        )
        self.annotations.append(row | dict(segmentation=segmentation or [], iscrowd=int(crowd)))

    def write(self, folder: Path, part: str) -> None:
        """Writes ``folder/annotations/instances_<part>2017.json``; ``part`` is ``train`` or
        ``val``.
        """
        content = dict(info={}, licenses=[], categories=self.categories, images=self.images)
        content["annotations"] = self.annotations
        atomic_write(folder / "annotations" / f"instances_{PARTS[part]}.json", json.dumps(content))


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed run-length code of a mask (h, w) bool: counts down the columns, first of
    the zeros.
    """
    flat = np.concatenate([[0], mask.ravel(order="F").astype(np.int8)])
    changes = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return dict(size=list(mask.shape), counts=counts.tolist())
