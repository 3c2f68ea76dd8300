"""Dead units: counted against a network in which some were killed by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.analysis.dead_units import BENCHMARK, Settings, highest, run
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder

SMALL = Settings(size=32, images=6, batch_size=4)


@pytest.fixture(scope="module")
def data(image_folder: Path) -> ClassFolder:
    return ClassFolder(image_folder, held_back=0.5)


def network() -> FeatureExtractor:
    return FeatureExtractor.load("random:test_resnet?output_stride=8")


def test_units_killed_by_hand_are_counted(data: ClassFolder) -> None:
    extractor, before = network(), run(network(), data, SMALL).counts["per_layer"]
    model = extractor.backbone.model
    with torch.no_grad():
        model.layer2[0].bn1.bias[:12] = -1e6  # 12 of 48 units; the others are awake for certain
        model.layer2[0].bn1.bias[12:] = 1e6
        model.layer4[0].bn2.bias[:] = -1e6  # with its shortcut: the whole layer
        model.layer4[0].downsample[-1].bias[:] = -1e6
    result = run(extractor, data, SMALL)
    after = result.counts["per_layer"]
    dead = dict(zip(after["layer"], after["dead"], strict=True))
    assert dead["layer2.0.act1"] == 12 and dead["layer4.0.act2"] == 96
    earlier = before["layer"].index("layer2.0.act1")
    assert after["dead"][:earlier] == before["dead"][:earlier]
    assert after["units"] == before["units"] and after["layer"][0] == "conv1.2"
    assert result.metrics["dead_last"].value == result.metrics["dead_most"].value == 100
    share = 100 * sum(after["dead"]) / sum(after["units"])
    assert result.metrics["dead"].value == pytest.approx(share) and 0 < share < 100
    assert {metric.better for metric in result.metrics.values()} == {"lower"}


def test_a_unit_that_one_place_of_one_image_wakes_is_alive() -> None:
    maps = torch.zeros(3, 2, 4, 4)
    maps[2, 1, 3, 0] = 1e-3
    assert (highest(maps) > 0).tolist() == [False, True]
    assert highest(torch.tensor([[[0.0, 1.0], [2.0, -3.0]]])).tolist() == [2, 1]  # tokens
    assert highest(torch.tensor([[0.0, -1.0], [1.0, -2.0]])).tolist() == [1, -1]  # vectors


def test_every_batch_counts(data: ClassFolder) -> None:
    """A unit that is dead on the images of one batch may wake on those of another."""
    whole, parts = run(network(), data, SMALL), run(network(), data, Settings(size=32, images=6))
    assert whole.counts == parts.counts and whole.counts["images"] == 6


def test_networks_without_rectifiers_are_refused(data: ClassFolder) -> None:
    extractor = FeatureExtractor.load("random:test_vit?img_size=32")
    with pytest.raises(ValueError, match="no image passes a ReLU in this network"):
        run(extractor, data, SMALL)


def test_a_coin_kills_one_unit_in_64(data: ClassFolder) -> None:
    record = BENCHMARK.measure_baseline("coin", data, SMALL)
    assert record.metrics["dead"].value == pytest.approx(100 / 64)
