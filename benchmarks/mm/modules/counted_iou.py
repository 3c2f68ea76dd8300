"""mmsegmentation's IoU metric, keeping the counts that its percentages are made of."""

from __future__ import annotations

from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric


@METRICS.register_module()
class CountedIoU(IoUMetric):
    """``IoUMetric``, with every argument of it; the numbers are its own, unrounded ones stand
    beside.

    Attributes:
        counts: after an evaluation, per class: ``intersect``, ``union`` and ``label`` pixels over
            all images.
    """

    counts: dict[str, list[int]] = {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Adds ``exact_mIoU`` and ``exact_aAcc``, percent without rounding, to what the library
        returns.
        """
        sums = [sum(part) for part in zip(*results, strict=True)]
        intersect, union, _, label = sums
        self.counts = {
            name: [int(value) for value in part]
            for name, part in (("intersect", intersect), ("union", union), ("label", label))
        }
        seen = union > 0
        exact = {
            "exact_mIoU": float((intersect[seen] / union[seen]).double().mean() * 100),
            "exact_aAcc": float(intersect.double().sum() / label.double().sum() * 100),
        }
        return super().compute_metrics(results) | exact
