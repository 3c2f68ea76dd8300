"""mmdet's COCO metric, also where nothing was found."""

from __future__ import annotations

from mmdet.evaluation import CocoMetric
from mmengine.registry import METRICS

_ITEMS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")


@METRICS.register_module()
class CompleteCoco(CocoMetric):
    """``CocoMetric``, with every argument of it, that says 0 where the library reports nothing.

    The library stops with an empty result if no detection of any image passes the score threshold,
    as happens after few iterations; a comparison would lose that run. Objects that are not found
    have a precision of 0.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Adds the missing entries, ``bbox_mAP`` to ``segm_mAP_l``, to what the library returns."""
        measured = super().compute_metrics(results)
        for metric in self.metrics:
            for item in _ITEMS if metric in ("bbox", "segm") else ():
                measured.setdefault(f"{metric}_{item}", 0.0)
        return measured
