"""Aligned start as an analysis: its record, what an untrained network must give, its figure."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.analysis.aligned_start import BENCHMARK, Settings
from benchmarks.core.benchmark import role_of
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run

OPTIONS = {"schedule.global_batch": 4, "schedule.warmup_epochs": 0}
OWN = "random:test_resnet?seed=4"


def settings(**changes: Any) -> Settings:
    small = dict(size=32, epochs=2, lr=0.02, checkpoints=0, options=OPTIONS, images=4)
    return Settings(**small | changes)


@pytest.fixture(scope="module")
def record(split_folder: Path) -> Record:
    """Two random networks: one stands for the trained, one for the initial."""
    network = FeatureExtractor.load(OWN)
    reference = "random:test_resnet?seed=5"
    return BENCHMARK.measure(network, ClassFolder(split_folder), settings(reference=reference))


def test_gains_are_differences_of_speeds(record: Record) -> None:
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert set(values) == set(BENCHMARK.metrics)
    for name in ("drawn", "trained", "unscaled"):
        difference = values[f"{name}_speed"] - values["scratch_speed"]
        assert values[f"{name}_gain"] == pytest.approx(difference)
    for name, curve in record.counts["curves"].items():
        assert len(curve) == 2 and sum(curve) / 2 == pytest.approx(values[f"{name}_speed"])
    assert record.protocol["reference"] == "random:test_resnet?seed=5"
    assert record.subject["tuning_seed"] == 0 and record.protocol["layers"] == 1


def test_an_untrained_network_gains_nothing_by_itself(split_folder: Path) -> None:
    """It is its own start: with its own filters, scaled or not, the training is the same one."""
    network = FeatureExtractor.load(OWN)
    measured = BENCHMARK.measure(network, ClassFolder(split_folder), settings(layers=0))
    values = {name: metric.value for name, metric in measured.metrics.items()}
    assert values["trained_gain"] == values["unscaled_gain"] == 0
    assert "drawn_gain" not in values and values["scratch_top1"] == values["trained_top1"]
    expected = BENCHMARK.expected_metrics(None, settings(layers=0))
    assert set(expected) == set(values)
    assert measured.counts["curves"]["trained"] == measured.counts["curves"]["scratch"]


def test_settings_that_change_the_number_are_in_the_protocol() -> None:
    roles = {setting.name: role_of(setting) for setting in fields(Settings)}
    assert {roles[name] for name in ("layers", "images", "reference")} == {None}
    with pytest.raises(ValueError, match="images=0 must be at least 1"):
        Settings(images=0)
    with pytest.raises(ValueError, match="layers=-1 must be 0"):
        Settings(layers=-1)


def test_the_figure_has_a_panel_for_each_network(record: Record, tmp_path: Path) -> None:
    (figure,) = BENCHMARK.figures
    whole = Record.from_json(record.to_json())
    del whole.counts["curves"]["drawn"]
    runs = {"one": [Run(record), Run(record)], "two": [Run(whole)]}
    ((title, sheet),) = figure.gather(Sources(arms=["one", "two"], runs=runs)).items()
    path = tmp_path / "figure.svg"
    figure.draw(sheet, path)
    ElementTree.parse(path)
    text = path.read_text()
    assert title == "" and ">one<" in text and ">unscaled<" in text
    columns = {"a": [Run(record, benchmark="first"), Run(record, benchmark="third")]}
    assert list(figure.gather(Sources(arms=["a"], runs=columns))) == ["first", "third"]
    assert figure.gather(Sources()) == {}
