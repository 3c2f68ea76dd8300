"""Objects that VOC marks as difficult, as training objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class KeepDifficult(BaseTransform):
    """Makes training objects of those that mmdet's VOC reader marks to be ignored; detectron2
    trains on them.

    For the training pipeline alone, behind ``LoadAnnotations``: the VOC metric leaves difficult
    objects out.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Clears ``gt_ignore_flags`` (N,) bool of one image's ``results``."""
        results["gt_ignore_flags"] = np.zeros_like(results["gt_ignore_flags"])
        return results
