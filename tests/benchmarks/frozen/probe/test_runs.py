"""The two probe benchmarks end to end, and their scores against printed digits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.core.scores import SegmentationTally, image_counts, mean_iou, pixel_accuracy
from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.probe import depth, segmentation
from benchmarks.frozen.probe.depth_tally import AlignedDepthTally
from heads.upsamplers.interpolation import Interpolation
from heads.upsamplers.jbu import JBUStack

PLAIN = segmentation.Settings(size=(40, 48), epochs=1, least_steps=60, images_per_step=3)
DEEP = depth.Settings(size=(40, 48), epochs=1, least_steps=60, images_per_step=3)


def behind(network: Any, upsampler: Any, stride: int = 1) -> Any:
    network.upsampler, network.task_stride = upsampler, stride
    return network


def test_segmentation_scores_to_the_printed_digits() -> None:
    labels, predictions = (
        torch.tensor([[0, 0, 1, 1, 2, IGNORE]]),
        torch.tensor([[0, 1, 1, 1, 0, 2]]),
    )
    tally = SegmentationTally(4)  # class 3 is absent, and so left out of the mean
    tally.add(predictions, labels, 0)
    assert pixel_accuracy(tally.confusion) == pytest.approx(0.6)
    assert mean_iou(tally.confusion) == pytest.approx(1 / 3)


def test_depth_scores_to_the_printed_digits() -> None:
    tally = AlignedDepthTally()
    tally.add(torch.tensor([[1.2, 2.6, 3, 8, 5]]), torch.tensor([[1.0, 2, 4, 8, 0]]), 0)
    found = tally.metrics()
    assert round(found["RMSE"].value, 6) == 0.591608 and found["delta1"].value == 50
    assert round(found["aligned_RMSE"].value, 6) == 0.587792
    relative = AlignedDepthTally(metric=False)
    relative.add(torch.tensor([[1.2, 2.6]]), torch.tensor([[1.0, 2]]), 0)
    assert list(relative.metrics()) == ["aligned_RMSE", "aligned_delta1"]
    with pytest.raises(
        ValueError, match="RMSE is nan, it is not defined: the val part must hold known depths"
    ):
        AlignedDepthTally().metrics()


def test_a_negative_depth_is_never_within() -> None:
    tally = AlignedDepthTally()
    tally.add(torch.tensor([[-1.0, 0.0, 1.0]]), torch.tensor([[1.0, 1.0, 1.0]]), 0)
    assert tally.metrics()["delta1"].value == pytest.approx(100 / 3)


def test_segmentation_learns_and_can_be_bootstrapped(toy_data: Any, colour_grid: Any) -> None:
    record = segmentation.BENCHMARK.measure(colour_grid(), toy_data(), PLAIN)
    intersection, union = image_counts(record.counts)
    assert record.metrics["mIoU"].value == pytest.approx(
        100 * np.mean(intersection.sum(0) / union.sum(0))
    )
    assert record.metrics["mIoU"].value > 60
    assert intersection.shape == (4, 3) and record.cost["folded"] == 1
    assert record.protocol["train_stride"] == 1 and record.protocol["steps"] == 60


@pytest.mark.parametrize("train_at", ["high", "low"])
def test_without_an_upsampler_it_is_the_bilinear_one(
    toy_data: Any, colour_grid: Any, train_at: str
) -> None:
    settings = replace(PLAIN, train_at=train_at)
    none = segmentation.BENCHMARK.measure(colour_grid(), toy_data(), settings)
    bilinear = segmentation.BENCHMARK.measure(
        behind(colour_grid(), Interpolation("bilinear")), toy_data(), settings
    )
    assert none.counts == bilinear.counts and none.protocol_hash == bilinear.protocol_hash


def test_upsamplers_share_a_protocol_and_strides_do_not(toy_data: Any, colour_grid: Any) -> None:
    torch.manual_seed(0)
    stack = JBUStack(3, 8).eval().requires_grad_(False)
    quick = replace(PLAIN, least_steps=10)
    runs = [
        segmentation.BENCHMARK.measure(behind(colour_grid(), up), toy_data(), quick)
        for up in (None, stack)
    ]
    assert runs[0].protocol_hash == runs[1].protocol_hash and runs[0].counts != runs[1].counts
    coarse = segmentation.BENCHMARK.measure(behind(colour_grid(), stack, 2), toy_data(), quick)
    assert coarse.protocol["stride"] == coarse.protocol["train_stride"] == 2
    assert coarse.protocol_hash != runs[1].protocol_hash


def test_a_probe_trained_low_names_the_grid_of_its_training(
    toy_data: Any, colour_grid: Any
) -> None:
    settings = replace(PLAIN, train_at="low")
    fine, coarse = (
        segmentation.BENCHMARK.measure(colour_grid(stride), toy_data(), settings)
        for stride in (4, 8)
    )
    assert (fine.protocol["train_stride"], coarse.protocol["train_stride"]) == (4, 8)
    assert fine.protocol_hash != coarse.protocol_hash


def test_depth_learns_metres_or_their_order(toy_depth: Any, colour_grid: Any) -> None:
    metric = depth.BENCHMARK.measure(colour_grid(), toy_depth(), DEEP)
    relative = depth.BENCHMARK.measure(colour_grid(), toy_depth(), replace(DEEP, loss="relative"))
    spread = np.std([1.15, 2.15, 3.15])  # what saying the mean everywhere would score, about
    assert metric.metrics["RMSE"].value < 0.7 * spread
    assert metric.metrics["aligned_RMSE"].value < metric.metrics["RMSE"].value
    assert list(relative.metrics) == ["aligned_RMSE", "aligned_delta1"]
    assert relative.metrics["aligned_RMSE"].value < 0.7 * spread
    table = metric.counts["per_image"]
    assert metric.metrics["RMSE"].value == pytest.approx(
        (sum(table["squared_error"]) / sum(table["known"])) ** 0.5
    )
    assert table["image"] == [0, 1, 2, 3]
    assert metric.protocol_hash != relative.protocol_hash


def test_depth_without_any_known_pixel_is_refused(toy_depth: Any) -> None:
    targets = depth.DepthTargets()
    targets.add(torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match="no depth of the train part is known"):
        targets.scale_and_shift()
    targets.add(torch.tensor([[[2.0, 4.0, 0.0]]]))
    assert targets.scale_and_shift() == (1.0, 3.0)
