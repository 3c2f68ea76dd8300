"""mmsegmentation's IoU metric, keeping the counts that its percentages are made of."""

from __future__ import annotations

from typing import Any

from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric
from torch import Tensor


@METRICS.register_module()
class CountedIoU(IoUMetric):
    """``IoUMetric``, with every argument of it; its own numbers, and unrounded ones with them.

    Attributes:
        counts: after an evaluation, per class: ``intersect``, ``union`` and ``label`` pixels over
            all images; ``per_image``: see :func:`benchmarks.core.scores.image_counts`, images by
            their place in the data set.
    """

    counts: dict[str, Any] = {}

    def compute_metrics(self, results: list[tuple[Tensor, ...]]) -> dict[str, float]:
        """Adds ``exact_mIoU`` and ``exact_aAcc``, percent without rounding, to what the library
        returns.

        Args:
            results: per image, in the data set's order, pixels of each class, (C,) each:
                intersection, union, predicted, true.
        """
        intersect, union, _, label = map(sum, zip(*results, strict=True))
        self.counts = {"per_image": _per_image(results)}
        for name, pixels in (("intersect", intersect), ("union", union), ("label", label)):
            self.counts[name] = list(map(int, pixels))
        seen = union > 0
        exact = {
            "exact_mIoU": float((intersect[seen] / union[seen]).double().mean() * 100),
            "exact_aAcc": float(intersect.double().sum() / label.double().sum() * 100),
        }
        return super().compute_metrics(results) | exact


def _per_image(results: list[tuple[Tensor, ...]]) -> dict[str, list[int]]:
    """The sparse (image, class) table of the frozen benchmarks, rows with any pixel only."""
    table: dict[str, list[int]] = {
        name: [] for name in ("image", "class", "intersection", "predicted", "true")
    }
    for image, (intersection, union, predicted, true) in enumerate(results):
        present = union.nonzero()[:, 0]
        table["image"] += [image] * len(present)
        table["class"] += present.tolist()
        columns = (("intersection", intersection), ("predicted", predicted), ("true", true))
        for name, pixels in columns:
            table[name] += pixels[present].long().tolist()
    return table
