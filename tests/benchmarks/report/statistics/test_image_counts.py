"""What benchmarks keep of every image gives their metrics, and intervals over images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.core.record import Record
from benchmarks.data import ClassFolder, KeypointPairs
from benchmarks.frozen import cam, correspondence, linear, robustness
from benchmarks.report.runs import Run, Sample
from benchmarks.report.statistics.bootstrap import bootstrap_difference, image_sums
from benchmarks.report.statistics.intervals import difference_over_images

SHAPES = ("cam", "correspondence", "linear", "robustness")
Measure = Callable[..., Record]


@pytest.fixture
def measure(
    image_folder: Path, write_willow: Callable[[Path], Path], colour_grid: Any, tmp_path: Path
) -> Measure:
    """``measure(benchmark, network=0)``: its record, as it comes back from a file; networks see
    one or two of three colours, so that they are often wrong.
    """
    classes = ClassFolder(image_folder, held_back=0.5, seed=1)
    settings: dict[str, Any] = dict(size=32, weight_decays=(1.0,))
    conditions = dict(corruptions=("gaussian_noise", "fog"), severities=(1, 3, 5))

    def of(name: str, network: int = 0) -> Record:
        channels = 2 if name == "correspondence" else 1
        grid = colour_grid(8, torch.eye(3)[[network, 2]][:channels])
        if name == "cam":
            record = cam.BENCHMARK.measure(grid, classes, cam.Settings(**settings))
        elif name == "linear":
            record = linear.BENCHMARK.measure(grid, classes, linear.Settings(**settings))
        elif name == "robustness":
            own = robustness.Settings(**settings, **conditions)
            record = robustness.BENCHMARK.measure(grid, classes, own)
        else:
            pairs = KeypointPairs(write_willow(tmp_path / f"willow{network}"))
            own = correspondence.Settings(size=(32, 48))
            record = correspondence.BENCHMARK.measure(grid, pairs, own)
        return Record.from_json(record.to_json())

    return of


def row(record: Record, metric: str) -> Sample:
    return Sample("row", metric, (Run(record, pair=0),))


@pytest.mark.parametrize("name", SHAPES)
def test_all_images_together_give_every_metric(measure: Measure, name: str) -> None:
    record = measure(name)
    for metric, value in record.metrics.items():
        sums = image_sums(record, metric)
        again = sums.metric(sums.parts.sum(0)[None], sums.wholes.sum(0)[None])[0]
        assert again == pytest.approx(value.value, rel=1e-12), metric
        assert sums.wholes.sum() > 2


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("cam", "ADCC"),
        ("cam", "classified_correctly"),
        ("correspondence", "PCK@0.15"),
        ("robustness", "error_increase"),
        ("robustness", "mean_corruption_error"),
    ],
)
def test_draws_are_those_of_loops(measure: Measure, name: str, metric: str) -> None:
    records = [measure(name, network) for network in (0, 1)]
    tables = [record.counts["per_image"] for record in records]
    units: dict[int, list[int]] = {}
    for place, image in enumerate(tables[0]["image"]):
        unit = records[0].counts["groups"][image] if name == "correspondence" else image
        units.setdefault(unit, []).append(place)
    members, random, differences = [units[unit] for unit in sorted(units)], np.random, []
    draws = random.default_rng(5).integers(len(members), size=(60, len(members)))
    for drawn in draws:
        means = []
        for table in tables:
            values = []
            for unit in drawn:
                values += [table[metric][place] for place in members[unit]]
            known = [value for value in values if value is not None]
            means.append(sum(known) / len(known) if known else np.nan)
        differences.append(means[0] - means[1])
    rows = [row(record, metric) for record in records]
    interval = bootstrap_difference(*rows, resamples=60, seed=5)
    low, high = np.nanquantile(differences, [0.025, 0.975])
    assert interval.half == pytest.approx((high - low) / 2, rel=1e-9) and interval.half > 0
    first, second = (record.metrics[metric].value for record in records)
    assert interval.mean == pytest.approx(first - second, rel=1e-9)


def test_images_that_one_network_gets_wrong_are_still_the_same_images(measure: Measure) -> None:
    first, second = (measure("cam", network) for network in (0, 1))
    left_out = []
    for record in (first, second):
        left_out.append([value is None for value in record.counts["per_image"]["ADCC"]])
    assert left_out[0] != left_out[1] and all(map(any, left_out))
    assert np.array_equal(image_sums(first, "ADCC").images, image_sums(second, "ADCC").images)
    # Image by image there is no difference then, for a share of the images there is.
    assert difference_over_images(row(first, "ADCC"), row(second, "ADCC")) is None
    rows = [row(record, "classified_correctly") for record in (first, second)]
    assert difference_over_images(*rows).mean == pytest.approx(
        first.metrics["classified_correctly"].value - second.metrics["classified_correctly"].value
    )


def test_pairs_of_one_subset_are_drawn_together(measure: Measure) -> None:
    sums = image_sums(measure("correspondence"), "PCK@0.1")
    assert sums.images.tolist() == list(range(8))
    assert sums.groups.tolist() == [0, 0, 1, 1, 1, 1, 1, 1]  # two bottles, three cars


@pytest.mark.parametrize("name", SHAPES)
def test_other_counts_give_nothing(measure: Measure, name: str) -> None:
    record = measure(name)
    metric = next(iter(record.metrics))
    assert image_sums(replace(record, counts={}), metric) is None
    table = record.counts.get("per_image") or record.counts
    values = table[metric]
    place = next(place for place, value in enumerate(values) if value is not None)
    table[metric] = [*values[:place], values[place] + 1, *values[place + 1 :]]
    assert image_sums(record, metric) is None


def test_counts_of_older_versions_give_nothing(measure: Measure) -> None:
    """CAM kept shares, of the images that were right; robustness how often an image was wrong,
    without the images' numbers; correspondence distances only.
    """
    record = measure("cam")
    table = record.counts["per_image"]
    shares = [value / 100 for value in table["ADCC"] if value is not None]
    older = dict(image=table["image"][: len(shares)], ADCC=shares, Y=[0.5] * len(shares))
    record = replace(record, counts=dict(per_image=older))
    assert image_sums(record, "ADCC") is None and image_sums(record, "average_drop") is None
    assert difference_over_images(row(record, "ADCC"), row(record, "ADCC")) is None
    record = measure("robustness")
    older = dict(label=[0, 1], clean=[0, 1], fog=[2, 3], error=[0, 1])
    record = replace(record, counts=dict(per_image=older))
    assert image_sums(record, "error") is None
    assert image_sums(record, "mean_corruption_error") is None
    record = measure("correspondence")
    older = dict(relative_error=record.counts["relative_error"], pairs=record.counts["pairs"])
    assert image_sums(replace(record, counts=older), "PCK@0.1") is None
