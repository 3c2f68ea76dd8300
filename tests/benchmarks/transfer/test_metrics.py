"""The libraries' metrics under our names; what they cannot measure is no number of ours."""

from __future__ import annotations

import math

import pytest

from benchmarks.core.record import Metric
from benchmarks.transfer.run import named_metrics


def test_names_units_and_direction() -> None:
    found = named_metrics(
        {"exact_mIoU": 12.5, "exact_aAcc": 50.0, "mIoU": 12.0, "coco/bbox_mAP": 0.25}
    )
    assert found == {
        "mIoU": Metric(12.5, "%", "higher"),
        "pixel_accuracy": Metric(50.0, "%", "higher"),
        "box_AP": Metric(25.0, "%", "higher"),
    }


@pytest.mark.parametrize("measured", [{"exact_mIoU": math.nan}, {"coco/bbox_mAP": -1.0}])
def test_nothing_labelled_is_an_error_that_says_so(measured: dict[str, float]) -> None:
    """mmsegmentation divides 0 by 0 where all masks are ignored, COCO's code says -1 where there is
    no object."""
    with pytest.raises(
        ValueError, match="is nan, it is not defined: the val part must hold labelled pixels or obj"
    ):
        named_metrics(measured)
