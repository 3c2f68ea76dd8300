"""mmsegmentation's IoU metric, keeping the counts that its percentages are made of."""

from __future__ import annotations

from mmengine.registry import METRICS
from mmseg.evaluation import IoUMetric


@METRICS.register_module()
class CountedIoU(IoUMetric):
    """``IoUMetric``, with every argument of it; its own numbers, and unrounded ones with them.

    Attributes:
        counts: after an evaluation, per class: ``intersect``, ``union`` and ``label`` pixels over
            all images.
    """

    counts: dict[str, list[int]] = {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Adds ``exact_mIoU`` and ``exact_aAcc``, percent without rounding, to what the library
        returns.
        """
        intersect, union, _, label = map(sum, zip(*results, strict=True))
        self.counts = {}
        for name, pixels in (("intersect", intersect), ("union", union), ("label", label)):
            self.counts[name] = list(map(int, pixels))
        seen = union > 0
        exact = {
            "exact_mIoU": float((intersect[seen] / union[seen]).double().mean() * 100),
            "exact_aAcc": float(intersect.double().sum() / label.double().sum() * 100),
        }
        return super().compute_metrics(results) | exact
