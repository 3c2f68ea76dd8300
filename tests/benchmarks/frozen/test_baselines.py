"""Most frequent class and mean depth per pixel, against counting; colours under the protocol of a
probe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.core.record import Record
from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen import decoder
from benchmarks.frozen.baselines import DepthByPlace
from benchmarks.frozen.probe import depth as depth_probe
from benchmarks.frozen.probe import segmentation as probe

SETTINGS = probe.Settings(size=(40, 48), epochs=1, least_steps=20)


def probed(name: str, data: Any, settings: Any = SETTINGS) -> Record:
    """A trivial predictor of the segmentation probe, at stride 1."""
    return probe.BENCHMARK.measure_baseline(name, data, settings, stride=1, train_stride=1)


def decoded(name: str, data: Any) -> Record:
    """A trivial predictor of the decoder."""
    return decoder.BENCHMARK.measure_baseline(name, data, decoder.Settings(size=(40, 48)))


def masks(split: Any) -> np.ndarray:
    """(n, 40, 48) label maps."""
    return np.stack([split.load(index)[1] for index in range(len(split))])


def test_most_frequent_class_anywhere_and_at_the_pixel(toy_data: Any) -> None:
    data = toy_data()
    train, val = masks(data.train), masks(data.val)
    counts = np.stack([(train == label).sum(0) for label in range(3)], -1)  # (H, W, C)
    largest = counts.sum((0, 1)).argmax()
    place = np.where(counts.any(-1), counts.argmax(-1), largest)
    labelled = val != IGNORE
    expected = {"majority": (val == largest), "position": (val == place)}
    for name, right in expected.items():
        for record in (probed(name, data), decoded(name, data)):
            accuracy = 100 * right[labelled].mean()
            assert record.metrics["pixel_accuracy"].value == pytest.approx(accuracy), (
                name,
                record.benchmark,
            )


def test_colour_tells_the_classes_of_the_toys_apart(toy_data: Any) -> None:
    """Their masks are drawn in class colours: a predictor that reads colours is far above one that
    does not."""
    data = toy_data()
    settings = probe.Settings(size=(40, 48), epochs=1, least_steps=200)
    for record in (probed("colour_position", data, settings), decoded("colour_position", data)):
        assert record.metrics["pixel_accuracy"].value > 90
    assert decoded("position", data).metrics["pixel_accuracy"].value < 60


@pytest.mark.parametrize("loss", ["metric", "relative"])
def test_mean_depths_anywhere_and_at_the_pixel(toy_depth: Any, loss: str) -> None:
    data = toy_depth()
    settings = depth_probe.Settings(size=(40, 48), loss=loss)
    train, val = masks(data.train).astype(float), masks(data.val).astype(float)
    known = val > 0
    mean = train[train > 0].mean()
    place = np.where((train > 0).any(0), train.sum(0) / np.maximum((train > 0).sum(0), 1), mean)
    for name, prediction in (("mean", np.full_like(place, mean)), ("position", place)):
        record = depth_probe.BENCHMARK.measure_baseline(name, data, settings, stride=1)
        assert ("RMSE" in record.metrics) == (loss == "metric")
        if loss == "metric":
            error = (prediction[None] - val)[known]
            assert record.metrics["RMSE"].value == pytest.approx(
                np.sqrt((error**2).mean()), rel=1e-5
            )
    record = depth_probe.BENCHMARK.measure_baseline("colour_position", data, settings, stride=1)
    assert record.metrics["aligned_delta1"].value > 0


def test_without_any_known_depth_there_is_no_mean() -> None:
    depths = DepthByPlace((2, 2))
    depths.add(torch.zeros(1, 2, 2))
    with pytest.raises(
        ValueError, match="no depth of the train part is known: its maps hold 0 only; check depth="
    ):
        depths.prediction(everywhere=True)
