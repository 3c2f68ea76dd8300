"""Boxes of objects: of what a mask shows, and of the one cluster that is taken for an object."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two lie outside

_CORRECT = 0.5  # IoU that a box must exceed


def boxes_of(mask: np.ndarray) -> list[Box]:
    """Boxes around the connected parts of a mask (H, W) bool, the largest part first; pixels touch
    by their sides.
    """
    parts, count = ndimage.label(mask)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    slices = ndimage.find_objects(parts)
    boxes = []
    for number in np.argsort(-sizes, kind="stable"):
        rows, columns = slices[number]
        boxes.append((rows.start, columns.start, rows.stop, columns.stop))
    return boxes


def overlap(box: Box, other: Box) -> float:
    """IoU of two boxes."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(one[2] - one[0]) * (one[3] - one[1]) for one in (box, other)]
    return shared / (sum(areas) - shared)


def located(box: Box, true: list[Box]) -> bool:
    """Whether a box overlaps any of the true ones by an IoU of more than one half."""
    return any(overlap(box, other) > _CORRECT for other in true)


def object_box(masks: np.ndarray) -> Box:
    """The box of the one object that clusters (n, H, W) bool suggest: around the largest connected
    part of the cluster that touches the image's border least, in proportion to its size.

    Raises:
        ValueError: all clusters are empty.
    """
    sizes = masks.sum((1, 2))
    border = np.ones(masks.shape[1:], bool)
    border[1:-1, 1:-1] = False
    there = np.flatnonzero(sizes)
    if not len(there):
        raise ValueError("masks: all of them are empty; there must be one with a pixel")
    touching = (masks[there] & border).sum((1, 2)) / sizes[there]
    return boxes_of(masks[there[touching.argmin()]])[0]
