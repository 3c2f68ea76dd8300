"""Segmentation scores from one confusion matrix over the whole set, with per-image counts for the
bootstrap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from benchmarks.core.benchmark import Result
from benchmarks.core.record import Metric
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.pairs import LabelledBatch

#: What a record of segmentation measures.
SEGMENTATION_METRICS = ("mIoU", "pixel_accuracy")
_PIECE_BYTES = 64 << 20  # of class scores at once: gigabytes otherwise, with many classes


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
        counts = torch.bincount(pairs, minlength=self.classes**2).cpu().numpy()
        counts = counts.reshape(self.classes, self.classes)
        self.confusion += counts
        self._images[image] = np.stack([counts.diagonal(), counts.sum(0), counts.sum(1)])

    def add_scores(self, scores: Tensor, batch: LabelledBatch) -> None:
        """Counts a batch by the class of the largest score, image by image.

        Args:
            scores: (B, C, h, w), resized bilinearly to the masks.
            batch: B masks (H, W) and the images' indices.

        Raises:
            ValueError: a score that is not finite: its argmax would be a class all the same.
        """
        if not torch.isfinite(scores).all():
            raise ValueError("a predicted class score is not finite; did training diverge?")
        size = tuple(batch.masks.shape[1:])
        masks = batch.masks.to(scores.device)
        piece = max(1, _PIECE_BYTES // (4 * scores.shape[1] * size[0] * size[1]))
        start = 0
        for part in scores.contiguous().split(piece):
            resized = F.interpolate(part, size=size, mode="bilinear", align_corners=False)
            for row, prediction in enumerate(resized.argmax(1), start=start):
                self.add(prediction, masks[row], batch.ids[row])
            start += len(part)

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

    def gather(self, device: torch.device) -> None:
        """Takes over the counts of all processes.

        Args:
            device: one that the process group can use.
        """
        confusion = torch.from_numpy(self.confusion).to(device)
        dist.all_reduce(confusion)
        tables: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(tables, self.per_image())
        self.confusion = confusion.cpu().numpy().astype(np.int64)
        self._images = {}
        for table in tables:
            for image, label, *counts in zip(*table.values(), strict=True):
                empty = np.zeros((3, self.classes), np.int64)
                self._images.setdefault(image, empty)[:, label] = counts

    def result(
        self,
        benchmark: str,
        *,
        facts: Mapping[str, Any],
        cost: Mapping[str, float] | None = None,
        matched: bool = False,
        absent_as_zero: bool = False,
    ) -> Result:
        """Mean IoU and pixel accuracy in percent; counts for :func:`image_counts`.

        Args:
            benchmark: its name, for the message.
            facts, cost: of the result.
            matched: rename the predicted classes first, see :func:`hungarian`.
            absent_as_zero: see :func:`mean_iou`.

        Raises:
            ValueError: no labelled pixel was counted.
        """
        if not self.confusion.any():
            raise ValueError(
                f"{benchmark}: no pixel of the val part is labelled at this size: nothing can be "
                "scored"
            )
        confusion = hungarian(self.confusion) if matched else self.confusion
        iou = mean_iou(confusion, absent_as_zero=absent_as_zero)
        metrics = dict(
            mIoU=Metric(100 * iou, "%", "higher"),
            pixel_accuracy=Metric(100 * pixel_accuracy(confusion), "%", "higher"),
        )
        counts = dict(
            confusion=self.confusion.tolist(),
            class_iou=class_iou(confusion).tolist(),
            per_image=self.per_image(),
        )
        return Result(metrics, counts, dict(cost or {}), dict(facts))


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
        counts: ``Record.counts`` of a segmentation record; its ``per_image`` has a row for each
            image and class with any pixel: ``image``, ``class`` and the pixels ``intersection``,
            ``predicted``, ``true``.

    Returns:
        (intersection, union), each (images, C) int64; C up to the last class with any pixel.
    """
    table = counts["per_image"]
    classes = 1 + max(table["class"], default=-1)
    ids = {image: row for row, image in enumerate(dict.fromkeys(table["image"]))}
    rows = np.array([ids[image] for image in table["image"]], np.int64)
    columns = np.array(table["class"], np.int64)
    intersection, union = (np.zeros((len(ids), classes), np.int64) for _ in range(2))
    intersection[rows, columns] = table["intersection"]
    union[rows, columns] = (
        np.array(table["predicted"]) + table["true"] - np.array(table["intersection"])
    )
    return intersection, union
