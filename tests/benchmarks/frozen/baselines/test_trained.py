"""Most frequent class and mean depth per pixel, against counting; colours under the protocol of a
probe."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen import decoder
from benchmarks.frozen.baselines import DECODER, DEPTH_PROBE, PROBE
from benchmarks.frozen.baselines.trained import depths_by_place
from benchmarks.frozen.probe import depth as depth_probe
from benchmarks.frozen.probe import segmentation as probe

SETTINGS = probe.Settings(size=(40, 48), epochs=1, least_steps=20)


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
        for record in (
            PROBE[name](data, SETTINGS, 1, train_stride=1),
            DECODER[name](data, decoder.Settings(size=(40, 48))),
        ):
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
    assert PROBE["colour_position"](data, settings, 1).metrics["pixel_accuracy"].value > 90
    record = DECODER["colour_position"](data, decoder.Settings(size=(40, 48)))
    assert record.metrics["pixel_accuracy"].value > 90
    assert (
        DECODER["position"](data, decoder.Settings(size=(40, 48))).metrics["pixel_accuracy"].value
        < 60
    )


@pytest.mark.parametrize("loss", ["metric", "relative"])
def test_mean_depths_anywhere_and_at_the_pixel(toy_depth: Any, loss: str) -> None:
    data = toy_depth()
    settings = depth_probe.Settings(size=(40, 48), loss=loss)
    train, val = masks(data.train).astype(float), masks(data.val).astype(float)
    known = val > 0
    mean = train[train > 0].mean()
    place = np.where((train > 0).any(0), train.sum(0) / np.maximum((train > 0).sum(0), 1), mean)
    for name, prediction in (("mean", np.full_like(place, mean)), ("position", place)):
        record = DEPTH_PROBE[name](data, settings, 1)
        assert ("RMSE" in record.metrics) == (loss == "metric")
        if loss == "metric":
            error = (prediction[None] - val)[known]
            assert record.metrics["RMSE"].value == pytest.approx(
                np.sqrt((error**2).mean()), rel=1e-5
            )
    assert DEPTH_PROBE["colour_position"](data, settings, 1).metrics["aligned_delta1"].value > 0


def test_without_any_known_depth_there_is_no_mean() -> None:
    nothing = torch.zeros(2, 2)
    with pytest.raises(
        ValueError, match="no depth of the train part is known: its maps hold 0 only; check depth="
    ):
        depths_by_place(nothing.double(), nothing.long(), everywhere=True)
