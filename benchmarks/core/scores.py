"""Segmentation scores from one confusion matrix over the whole set, with per-image counts for the
bootstrap.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.data.label_maps import IGNORE


class SegmentationTally:
    """Adds up predictions image by image; holds counts only, never predictions.

    Attributes:
        confusion: (C, C) int64, [true class, predicted class], ignored pixels left out.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self.confusion = np.zeros((classes, classes), np.int64)
        self._images: dict[int, np.ndarray] = {}

    def add(self, prediction: Tensor, target: Tensor, image: int) -> None:
        """Counts one image.

        Args:
            prediction: (H, W) integer classes in [0, C).
            target: (H, W) integer classes, ``IGNORE`` where nothing counts.
            image: Its index; keys the per-image counts.
        """
        valid = target != IGNORE
        pairs = target[valid].long() * self.classes + prediction[valid].long()
        counts = (
            torch.bincount(pairs, minlength=self.classes**2)
            .cpu()
            .numpy()
            .reshape(self.classes, self.classes)
        )
        self.confusion += counts
        self._images[image] = np.stack([counts.diagonal(), counts.sum(0), counts.sum(1)])

    def per_image(self) -> dict[str, list[int]]:
        """Sparse (image, class) table of intersection, predicted and true pixels, rows with any
        pixel only.
        """
        table: dict[str, list[int]] = {
            n: [] for n in ("image", "class", "intersection", "predicted", "true")
        }
        for image, counts in sorted(self._images.items()):
            present = np.flatnonzero(counts[1] + counts[2])
            table["image"] += [image] * len(present)
            table["class"] += present.tolist()
            for name, row in zip(("intersection", "predicted", "true"), counts, strict=True):
                table[name] += row[present].tolist()
        return table

    def merge(self, others: list[dict[str, list[int]]], confusion: np.ndarray) -> None:
        """Takes over the per-image tables of all processes and the confusion matrix summed over
        them.
        """
        self.confusion = confusion
        self._images = {}
        for table in others:
            for row in zip(*table.values(), strict=True):
                image, label, *counts = row
                self._images.setdefault(image, np.zeros((3, self.classes), np.int64))[:, label] = (
                    counts
                )


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Intersection over union per class, (C,) float64, NaN where the union is empty; ``confusion``
    (C, C).
    """
    intersection = confusion.diagonal().astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - intersection
    return np.divide(intersection, union, out=np.full(len(confusion), np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray, *, absent_as_zero: bool = False) -> float:
    """Mean IoU over the classes with a non-empty union; NaN if there is none.

    Args:
        confusion: (C, C) counts, [true, predicted].
        absent_as_zero: Count a class that occurs nowhere as IoU 0 (compat only: it punishes small
            validation sets).
    """
    iou = class_iou(confusion)
    if absent_as_zero:
        return float(np.nan_to_num(iou).mean())
    return float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan")


def pixel_accuracy(confusion: np.ndarray) -> float:
    """Share of pixels with the right class; NaN if there are none."""
    total = confusion.sum()
    return float(confusion.trace() / total) if total else float("nan")


def hungarian(confusion: np.ndarray) -> np.ndarray:
    """Renames predicted classes so that the sum of IoUs is largest: returns the confusion matrix
    with its columns permuted. Never lowers the mean IoU: pairs of present classes are preferred
    among equals, so the number of classes with a non-empty union is as small as it can be. Cost
    O(C³).
    """
    true, predicted = confusion.sum(1), confusion.sum(0)
    union = true[:, None] + predicted[None, :] - confusion
    iou = np.divide(confusion, union, out=np.zeros(confusion.shape), where=union > 0)
    both = (true[:, None] > 0) & (predicted[None, :] > 0)
    _, columns = linear_sum_assignment(iou + 1e-9 * both, maximize=True)
    return confusion[:, columns]


def image_counts(counts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Unpacks a record's counts for the bootstrap over images: sum the rows of a resample, divide,
    average.

    Args:
        counts: ``Record.counts`` of a segmentation record (keys ``confusion`` and ``per_image``).

    Returns:
        (intersection, union), each (images, C) int64.
    """
    table, classes = counts["per_image"], len(counts["confusion"])
    ids = {image: row for row, image in enumerate(dict.fromkeys(table["image"]))}
    rows = np.array([ids[image] for image in table["image"]], np.int64)
    columns = np.array(table["class"], np.int64)
    intersection, union = (np.zeros((len(ids), classes), np.int64) for _ in range(2))
    intersection[rows, columns] = table["intersection"]
    union[rows, columns] = (
        np.array(table["predicted"]) + table["true"] - np.array(table["intersection"])
    )
    return intersection, union
