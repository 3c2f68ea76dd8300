"""Means of errors on numbers made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES
from benchmarks.robustness.measures import (
    ALEXNET_ERROR,
    METRICS,
    image_errors,
    mean_error,
    mean_normalised_error,
    relative_to,
    summarise,
)


def counts(wrong: dict[str, list[int]], images: int = 100_000) -> dict[str, Any]:
    levels = {}
    for name, numbers in wrong.items():  # the lowest severities only where there are fewer numbers
        severities = zip(SEVERITIES, numbers, strict=False)
        levels[name] = {str(s): dict(images=images, wrong=number) for s, number in severities}
    return {"corruptions": levels}


def record(content: dict[str, Any], **protocol: Any) -> Record:
    return Record("robustness", {"error": Metric(1.0, "%")}, protocol, counts=content)


def test_means_by_hand() -> None:
    errors = {"fog": {1: 0.2, 2: 0.4}, "snow": {1: 0.5, 2: 0.7}}
    assert mean_error(errors) == pytest.approx(0.45)
    assert mean_normalised_error(errors, {"fog": 0.6, "snow": 0.8}) == pytest.approx(
        (0.5 + 0.75) / 2
    )


def test_alexnet_has_an_mce_of_100() -> None:
    """Its own errors; each of the 15 published averages is the mean of its five severities."""
    assert (
        list(ALEXNET_ERROR) == list(CORRUPTIONS) and 0.78 < sum(ALEXNET_ERROR.values()) / 15 < 0.80
    )
    own = counts(
        {name: [round(1_000_000 * error)] * 5 for name, error in ALEXNET_ERROR.items()}, 1_000_000
    )
    assert summarise(own, alexnet=True)["mCE"].value == pytest.approx(100)
    half = counts(
        {name: [round(500_000 * error)] * 5 for name, error in ALEXNET_ERROR.items()}, 1_000_000
    )
    assert summarise(half, alexnet=True)["mCE"].value == pytest.approx(50)


def test_alexnets_errors_of_three_corruptions_are_the_means_of_their_severities() -> None:
    """The table of the same README lists severities, too; three rows of it."""
    rows = {
        "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
        "glass_blur": (0.64308, 0.75054, 0.88806, 0.91622, 0.93344),
        "jpeg_compression": (0.51002, 0.54718, 0.57294, 0.65458, 0.74778),
    }
    for name, row in rows.items():
        assert sum(row) / 5 == pytest.approx(ALEXNET_ERROR[name], abs=1e-9)


def test_means_over_images_are_the_summary() -> None:
    """All metrics, of images that are wrong at random."""
    random, images, clean = np.random.default_rng(0), 40, {}
    wrong: dict[int, dict[str, np.ndarray]] = {1: {}, 5: {}}
    content: dict[str, Any] = dict(corruptions={})
    for name in (*CORRUPTIONS, "clean"):
        first = random.random((1 if name == "clean" else 5, images)) < 0.4
        five = first & (random.random(first.shape) < 0.5)
        wrong[1][name], wrong[5][name] = first.sum(0), five.sum(0)
        levels = {}
        for severity, (one, other) in enumerate(zip(first, five, strict=True), start=1):
            clean = dict(images=images, wrong=int(one.sum()), wrong5=int(other.sum()))
            levels[str(severity)] = clean
        content["corruptions"][name] = levels
    content["clean"] = content["corruptions"].pop("clean")["1"]
    for alexnet in (True, False):
        summary = summarise(content, alexnet=alexnet)
        columns = image_errors(wrong, 5, alexnet=alexnet)
        assert set(columns) == set(summary) and ("mCE" in columns) == alexnet
        for name, metric in summary.items():
            assert columns[name].shape == (images,)
            assert columns[name].mean() == pytest.approx(metric.value, rel=1e-12), name
    only = image_errors({1: {"clean": np.array([0, 1])}, 5: {}}, 5, alexnet=True)
    assert {name: column.tolist() for name, column in only.items()} == {"error": [0, 100]}


def test_summary_by_hand() -> None:
    content = counts({"fog": [20, 30, 40, 50, 60], "snow": [10, 10, 10, 10, 10]}, 100)
    content["clean"] = dict(images=100, wrong=7, wrong5=2)
    metrics = {name: metric.value for name, metric in summarise(content, alexnet=False).items()}
    assert metrics == pytest.approx(
        dict(error=7, top5_error=2, mean_corruption_error=25, error_increase=18, fog=40, snow=10)
    )
    assert set(metrics) <= set(METRICS)
    for level in (level for levels in content["corruptions"].values() for level in levels.values()):
        level["wrong5"] = level["wrong"] // 2
    assert summarise(content, alexnet=False)["mean_corruption_top5_error"].value == pytest.approx(
        12.5
    )


def test_mce_needs_alexnets_files_all_of_them() -> None:
    full = {name: [1, 2, 3, 4, 5] for name in CORRUPTIONS}
    assert "mCE" in summarise(counts(full), alexnet=True)
    assert "mCE" not in summarise(counts(full), alexnet=False)
    assert "mCE" not in summarise(
        counts({name: full[name] for name in list(full)[1:]}), alexnet=True
    )
    assert "mCE" not in summarise(counts({name: [1, 2, 3, 4] for name in full}), alexnet=True)


def test_another_record_as_the_unit() -> None:
    mine, unit = (record(counts({"fog": [10] * 5, "snow": [w] * 5}, 100), size=1) for w in (30, 60))
    assert relative_to(mine, unit) == pytest.approx(75)
    assert relative_to(unit, Record.from_json(unit.to_json())) == pytest.approx(100)
    with pytest.raises(ValueError, match="protocols .* differ"):
        relative_to(mine, record(counts({"fog": [1] * 5}), size=2))
    with pytest.raises(ValueError, match="makes no error under fog"):
        relative_to(mine, record(counts({"fog": [0] * 5, "snow": [1] * 5}), size=1))
    with pytest.raises(ValueError, match="differ in snow"):
        relative_to(mine, record(counts({"fog": [1] * 5}), size=1))
    with pytest.raises(ValueError, match="without corruptions"):
        relative_to(record({}, size=1), record({}, size=1))
