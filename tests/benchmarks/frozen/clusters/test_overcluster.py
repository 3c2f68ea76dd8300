"""Overclustering: cells as the obvious way has them, and a network that knows the classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.core.scores import mean_iou
from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.clusters import cells
from benchmarks.frozen.clusters.cells import Maps, principal_cells
from benchmarks.frozen.clusters.matching import classes_of
from benchmarks.frozen.clusters.overcluster import BENCHMARK, Settings, score

SMALL = Settings(
    size=(40, 48), mask_size=(20, 24), clusters=3, components=2, clustering="spread", batch_size=3
)


def toy_maps(network: Any, data: Any) -> Maps:
    return Maps(network, data.val, size=(40, 48), batch_size=3)


@pytest.mark.parametrize("kept", [True, False])
def test_principal_cells_equal_the_obvious_way(
    kept: bool,
    colour_grid: Any,
    toy_data: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not kept:
        monkeypatch.setattr(cells, "available_bytes", lambda device: 0)
    matrix = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    matrix[4] = 0  # a channel that never changes
    network, data = colour_grid(matrix=matrix), toy_data()
    points = principal_cells(toy_maps(network, data), 2)
    images = data.val.take(range(4), (40, 48)).images
    rows = network.maps(images).flatten(2).transpose(1, 2).flatten(0, 1).double()[:, :4]
    standard = (rows - rows.mean(0)) / rows.std(0, correction=0)
    _, strengths, directions = torch.linalg.svd(standard, full_matrices=False)
    expected = standard @ directions[:2].T
    assert points.shape == (4, 30, 2) and strengths[1] > 1.01 * strengths[2]
    # the sign of a direction is free
    torch.testing.assert_close(
        points.flatten(0, 1).abs().double(), expected.abs(), atol=1e-4, rtol=0
    )


def test_all_channels_without_components(colour_grid: Any, toy_data: Callable[..., Any]) -> None:
    points = principal_cells(toy_maps(colour_grid(), toy_data()), 0).flatten(0, 1)
    torch.testing.assert_close(points.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(points.std(0, correction=0), torch.ones(3))


def test_scores_equal_the_obvious_way(toy_data: Callable[..., Any]) -> None:
    """Clusters at random: masks and clusters at the size of comparison, one table over all."""
    data = toy_data()
    clusters = torch.randint(0, 7, (4, 5, 6), generator=torch.Generator().manual_seed(0))
    settings = replace(SMALL, clusters=7)
    table, pairs = np.zeros((7, 3), np.int64), []
    for image in range(4):
        mask = data.val.load(image)[1][1::2, 1::2]  # pixel i of 20 has its centre at 2i + 1 of 40
        shown = clusters[image].numpy().repeat(4, 0).repeat(4, 1)
        pairs.append((shown[mask != IGNORE], mask[mask != IGNORE]))
        np.add.at(table, pairs[-1], 1)
    classes = classes_of(table, "precision")
    confusion = np.zeros((3, 3), np.int64)
    for shown, mask in pairs:
        np.add.at(confusion, (mask, classes[shown]), 1)
    result = score(clusters, data, settings)
    assert result.counts["confusion"] == confusion.tolist()
    assert result.metrics["mIoU"].value == pytest.approx(100 * mean_iou(confusion))


@pytest.mark.parametrize("matching", ["precision", "hungarian"])
def test_colours_are_classes(matching: str, colour_grid: Any, toy_data: Callable[..., Any]) -> None:
    """Cells of the toy set have one colour per class."""
    settings = replace(SMALL, matching=matching)
    record = BENCHMARK.measure(colour_grid(), toy_data(), settings)
    assert record.metrics["mIoU"].value > 95 and record.counts["inertia"] > 0
    assert len(set(record.counts["per_image"]["image"])) == 4


@pytest.mark.filterwarnings("ignore:1 of 4 classes occur in none")
def test_an_absent_class_counts_only_if_asked(toy_data: Callable[..., Any]) -> None:
    data = toy_data(classes=4)
    clusters = torch.zeros(4, 5, 6, dtype=torch.int64)
    plain = score(clusters, data, SMALL).metrics["mIoU"].value
    asked = score(clusters, data, replace(SMALL, absent_classes=True)).metrics["mIoU"].value
    assert asked == pytest.approx(plain * 3 / 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(mask_size=(0, 4)), r"mask_size=\(0, 4\) must be \(height, width\)"),
        (dict(components=-1), "components=-1 at least 0"),
        (dict(matching="greedy"), "matching='greedy' is not one of precision, iou, hungarian"),
        (dict(clusters=0), "clusters=0 must be at least 1"),
    ],
)
def test_mistakes_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**change)


def test_a_feature_that_is_not_finite_is_named(
    colour_grid: Any, toy_data: Callable[..., Any]
) -> None:
    class Broken(colour_grid):
        def maps(self, images: Tensor) -> Tensor:
            return super().maps(images) * float("nan")

    with pytest.raises(ValueError, match=r"000\.png"):
        BENCHMARK.measure(Broken(), toy_data(), SMALL)
