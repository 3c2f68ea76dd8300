"""Criticality of the modules of a fine-tuned toy network, on the real engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.analysis.criticality import BENCHMARK, Settings
from benchmarks.analysis.criticality_figure import CRITICALITY
from benchmarks.analysis.fine_tunings import fine_tuned
from benchmarks.analysis.landscape import Images, Landscape
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run
from benchmarks.report.statistics.bootstrap import image_sums

NETWORK = "random:resnet10t?output_stride=8&layers=(1,1,0,0)&channels=(8,16,16,16)&stem_width=8"
SMALL = dict(
    size=32,
    epochs=6,
    lr=0.05,
    checkpoints=2,
    options={"schedule.global_batch": 4, "schedule.warmup_epochs": 0},
    alphas=5,
    sigmas=4,
    draws=2,
)


@pytest.fixture(scope="module")
def data(split_folder: Path) -> ClassFolder:
    """24 train and 12 val images."""
    return ClassFolder(split_folder)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Small ones; the fine-tuning of these tests is made once."""
    return Settings(**SMALL, work_dir=str(tmp_path_factory.mktemp("fine_tunings")))


@pytest.fixture(scope="module")
def record(data: ClassFolder, settings: Settings) -> Record:
    """Of a small ResNet."""
    return BENCHMARK.measure(FeatureExtractor.load(NETWORK), data, settings)


def test_every_module_has_its_row(record: Record) -> None:
    rows = {row["module"]: row for row in record.counts["per_module"]}
    assert list(rows) == ["conv1+bn1", "layer1.0", "layer2.0", "head"]
    assert record.counts["epsilon"] == pytest.approx(1.1 * record.counts["loss"])
    assert len(record.counts["steps"]) == 4
    for row in rows.values():
        found = row["direct_at"]
        alpha = found["place"] / 4
        expected = (alpha * row["moved"] / found["sigma"]) ** 2
        assert row["direct"] == pytest.approx(expected, rel=1e-4) and row["path"] >= 0
    inner = [row["direct"] for name, row in rows.items() if name != "head"]
    assert record.metrics["criticality"].value == pytest.approx(sum(inner)) and sum(inner) > 0
    assert rows["head"]["direct"] > 0  # an untrained classifier knows nothing


def test_rewinding_puts_one_module_back(
    record: Record, data: ClassFolder, settings: Settings
) -> None:
    trajectory = fine_tuned(FeatureExtractor.load(NETWORK), data, settings, seed=0)
    start, final = trajectory.classifier(0).state_dict(), trajectory.classifier()
    mixed = final.state_dict()
    for name, _ in final.named_parameters():
        if name.startswith("backbone.model.layer2.0."):
            mixed[name] = start[name]
    statistics = Images.of(data.train, final, most=512)
    landscape = Landscape(final, statistics=statistics, batch_size=64)
    landscape.place(mixed, recalibrate=True)
    scored = landscape.score(Images.of(data.val, final, most=2000))
    row = record.counts["per_module"][2]
    assert row["rewound"] == pytest.approx(scored.top1)
    assert row["rewound_loss"] == pytest.approx(scored.loss, rel=1e-5)
    assert image_sums(record, "rewind_drop") is not None


def test_with_much_slack_no_module_is_critical(data: ClassFolder, settings: Settings) -> None:
    record = BENCHMARK.measure(FeatureExtractor.load(NETWORK), data, replace(settings, slack=1e6))
    assert record.metrics["criticality"].value == 0
    assert record.metrics["path_criticality"].value == 0


def test_noise_that_is_too_large_anywhere_is_an_error(
    data: ClassFolder, settings: Settings
) -> None:
    loud = replace(settings, sigma_least=0.9, sigmas=2, slack=1e-6)
    with pytest.raises(ValueError, match=r"sigma_least=0.9: noise of it on conv1\+bn1"):
        BENCHMARK.measure(FeatureExtractor.load(NETWORK), data, loud)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(alphas=1), "alphas=1 must be at least 2"),
        (dict(sigma_least=1.0), "sigma_least=1.0 must lie between 0 and 1"),
        (dict(slack=0), "slack=0 must be greater than 0"),
        (dict(draws=0), "draws=0 must be at least 1"),
        (dict(lr=0.0), "lr=0.0 must be greater than 0"),
    ],
)
def test_mistakes_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_the_figure(record: Record, tmp_path: Path) -> None:
    assert CRITICALITY.gather(Sources()) == {}
    sources = Sources(arms=("a",), runs=dict(a=[Run(record, benchmark="criticality")]))
    (panels,) = CRITICALITY.gather(sources).values()
    assert [panel.scale for panel in panels.panels] == ["log", "log", "linear"]
    assert "layer2.0" in CRITICALITY.draw(panels, tmp_path / "figure.svg").read_text()
