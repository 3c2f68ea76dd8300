"""What readers of the standard layouts expect of a frame: label map, COCO entries, crops."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .classes import CLASSES, GROUND, IGNORE
from .layout import Scene, pose_at
from .render import SAMPLES, Frame

_SEEN_SHARE = (
    0.12  # an object of which less is visible is not annotated: a person could not name it either
)
_SEEN_AREA = 0.002  # nor one that fills less of the image
_CROP_SHARE = 0.6  # a crop is cut for an object of which at least this much is visible
CROP_CONTEXT = 1.3  # side of a crop over the longer side of the visible part's box


@dataclass(frozen=True)
class Instance:
    """The visible part of one object. Pixel-area coordinates: the image is [0, S] x [0, S]."""

    number: int  # its value in Frame.instances
    label: int  # its class
    share: float  # visible part of the object's whole area, in [0, 1]
    polygons: tuple[tuple[float, ...], ...]  # x, y, x, y, … in pixels, one per connected piece
    bbox: tuple[float, float, float, float]  # x, y, width, height in pixels
    area: float  # square pixels


def find_instances(scene: Scene, drawn: Frame, frame: int = 0) -> list[Instance]:
    """Measures every object of which enough is seen to be annotated, at the precision of the
    samples (1/3 px).
    """
    fine = drawn.samples.shape[0]
    instances = []
    for number, thing in enumerate(scene.things, start=1):
        mask = drawn.samples == number
        seen = np.count_nonzero(mask) / fine**2  # in units of the image's area
        share = seen / (math.pi * (thing.radius * pose_at(scene, thing, frame).scale) ** 2)
        if share < _SEEN_SHARE or seen < _SEEN_AREA:
            continue
        polygons = _outline(mask)
        if not polygons:
            continue
        instances.append(
            Instance(
                number=number,
                label=thing.kind.label,
                share=min(share, 1.0),
                polygons=polygons,
                bbox=_bounds(polygons),
                area=round(seen * (fine / SAMPLES) ** 2, 2),
            )
        )
    return instances


def _outline(mask: np.ndarray) -> tuple[tuple[float, ...], ...]:
    """Polygons around the pieces of a mask (3 S, 3 S) bool, in pixels."""
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    polygons = []
    for contour in contours:
        if cv2.contourArea(contour) < 2 * SAMPLES**2:  # crumbs of less than two pixels
            continue
        # Half a sample: the contour runs through the centres of the outermost samples. Two thirds
        # of a sample of simplification is a fifth of a pixel.
        points = (cv2.approxPolyDP(contour, 0.67, True)[:, 0] + 0.5) / SAMPLES
        if len(points) >= 3:
            polygons.append(tuple(round(float(v), 2) for v in points.ravel()))
    return tuple(polygons)


def _bounds(polygons: tuple[tuple[float, ...], ...]) -> tuple[float, float, float, float]:
    """Box (x, y, width, height) around polygons, in pixels."""
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
    low, high = points.min(axis=0), points.max(axis=0)
    return tuple(round(float(v), 2) for v in (*low, *(high - low)))


def label_map(drawn: Frame, instances: list[Instance]) -> np.ndarray:
    """(S, S) uint8: 1..C objects, C + 1 ground, 0 for mixed pixels and for objects that are not
    annotated.
    """
    lookup = np.full(256, IGNORE, dtype=np.uint8)
    lookup[0] = GROUND
    for instance in instances:
        lookup[instance.number] = instance.label
    labels = lookup[drawn.instances]
    labels[drawn.mixed] = IGNORE
    return labels


def coco_annotations(instances: list[Instance], image_id: int) -> list[dict]:
    """COCO annotations of one image; ids are ``100 · image_id + number``, so they stay when the set
    grows.
    """
    annotations = []
    for instance in instances:
        annotations.append(
            {
                "id": 100 * image_id + instance.number,
                "image_id": image_id,
                "category_id": instance.label,
                "segmentation": list(map(list, instance.polygons)),
                "bbox": list(instance.bbox),
                "area": instance.area,
                "iscrowd": 0,
            }
        )
    return annotations


def coco_header(split: str) -> dict:
    """The parts of a COCO file that do not depend on the images: info, licenses, categories."""
    return {
        "info": {"description": f"scenes, {split}", "version": "1"},
        "licenses": [
            {
                "id": 1,
                "name": "CC0-1.0",
                "url": "https://creativecommons.org/publicdomain/zero/1.0/",
            }
        ],
        "categories": [{"id": c.label, "name": c.name, "supercategory": c.shape} for c in CLASSES],
    }


def cut_crops(drawn: Frame, instances: list[Instance]) -> list[tuple[Instance, np.ndarray]]:
    """Object-centric squares with some context, (S, S, 3) uint8 RGB, for objects that are mostly
    visible.

    A square that would leave the image is moved inside, so crops hold no invented border.
    """
    size = drawn.image.shape[0]
    crops = []
    for instance in instances:
        if instance.share < _CROP_SHARE:
            continue
        x, y, width, height = instance.bbox
        side = min(size, math.ceil(CROP_CONTEXT * max(width, height)))
        left = min(max(round(x + width / 2 - side / 2), 0), size - side)
        top = min(max(round(y + height / 2 - side / 2), 0), size - side)
        crops.append((instance, enlarge(drawn.image, left, top, side=side)))
    return crops


def enlarge(image: np.ndarray, left: int, top: int, *, side: int) -> np.ndarray:
    """A square of an image (S, S, 3), ``side`` pixels wide from (left, top) on, resized to the
    image's size.
    """
    part = image[top : top + side, left : left + side]
    return cv2.resize(part, image.shape[:2], interpolation=cv2.INTER_CUBIC)
