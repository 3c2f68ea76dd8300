"""What lies between two fine-tunings, on the real engine with toy images."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.analysis.barrier import BENCHMARK, Settings
from benchmarks.analysis.barrier_figure import BARRIER
from benchmarks.analysis.fine_tunings import FIRST_CONTROL, fine_tuned
from benchmarks.analysis.interpolation import barrier
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.data import ClassFolder
from benchmarks.finetune.run import evaluate
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run
from benchmarks.report.statistics.bootstrap import image_sums

RESNET = "random:resnet10t?output_stride=8&layers=(1,1,0,0)&channels=(8,16,16,16)&stem_width=8"
VIT = "random:vit_tiny_patch16_224?patch_size=8&img_size=32&depth=2&embed_dim=24&num_heads=2"
SMALL = dict(
    size=32,
    epochs=4,
    lr=0.05,
    checkpoints=0,
    options={"schedule.global_batch": 4, "schedule.warmup_epochs": 0},
    points=5,
    draws=2,
)


@pytest.fixture(scope="module")
def data(split_folder: Path) -> ClassFolder:
    """24 train and 12 val images."""
    return ClassFolder(split_folder)


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the fine-tunings of these tests stay, so that each is made once."""
    return tmp_path_factory.mktemp("fine_tunings")


@pytest.fixture(scope="module")
def settings(work_dir: Path) -> Settings:
    """Small ones."""
    return Settings(**SMALL, work_dir=str(work_dir))


@pytest.fixture(scope="module")
def record(data: ClassFolder, settings: Settings) -> Record:
    """Of a network with BatchNorm and the control."""
    return BENCHMARK.measure(FeatureExtractor.load(RESNET + "&seed=9"), data, settings)


def test_lines_begin_and_end_at_the_fine_tuned_networks(
    record: Record, data: ClassFolder, settings: Settings
) -> None:
    (line,) = record.counts["lines"]
    assert line["share"] == [0, 0.25, 0.5, 0.75, 1]
    network, ends = FeatureExtractor.load(RESNET + "&seed=9"), []
    for place, seed in ((0, 0), (-1, 1)):
        classifier = fine_tuned(network, data, settings, seed=seed).classifier()
        metrics, _ = evaluate(classifier, data.val)
        assert line["top1_uncalibrated"][place] == pytest.approx(metrics["top1"].value)
        ends.append(torch.cat([own.flatten() for own in classifier.backbone.parameters()]))
    apart = float((ends[0] - ends[1]).detach().norm())
    assert record.metrics["apart"].value == pytest.approx(apart, rel=1e-5)
    assert record.metrics["random_apart"].value > apart  # they started apart, too


def test_metrics_follow_from_the_lines(record: Record) -> None:
    for prefix, line in (("", "lines"), ("random_", "random_lines")):
        (curves,) = record.counts[line]
        for name, values in (
            ("barrier", curves["loss"]),
            ("barrier_uncalibrated", curves["loss_uncalibrated"]),
            ("drop", [-top1 for top1 in curves["top1"]]),
        ):
            assert record.metrics[prefix + name].value == pytest.approx(
                barrier(curves["share"], values)
            )
    assert set(record.metrics) == set(BENCHMARK.metrics)
    assert record.metrics["epsilon"].value == record.counts["basins"][0]["epsilon"] > 0
    (line,) = record.counts["lines"]
    assert line["loss"] != line["loss_uncalibrated"]


def test_images_give_the_barriers(record: Record) -> None:
    for name in ("barrier", "barrier_uncalibrated", "random_barrier"):
        assert image_sums(record, name) is not None
    assert Record.from_json(record.to_json()).protocol_hash == record.protocol_hash


def test_fine_tunings_are_shared_and_pairs_are_averaged(
    record: Record, data: ClassFolder, settings: Settings, work_dir: Path
) -> None:
    """A random start of the first network's control is this network; the second pair is new."""
    before = set(work_dir.rglob("final.pth"))
    assert len(before) == 4
    network = FeatureExtractor.load(f"{RESNET}&seed={FIRST_CONTROL}")
    two = replace(settings, two_starts=False, pairs=2)
    other = BENCHMARK.measure(network, data, two)
    assert len(set(work_dir.rglob("final.pth")) - before) == 3
    assert set(other.metrics) == set(BENCHMARK.expected_metrics(data, two))
    barriers = [barrier(line["share"], line["loss"]) for line in other.counts["lines"]]
    assert len(set(barriers)) == 2
    assert other.metrics["barrier"].value == pytest.approx(sum(barriers) / 2)
    assert image_sums(other, "barrier") is not None
    assert other.protocol_hash != record.protocol_hash


def test_without_batch_norm_both_barriers_are_one(data: ClassFolder, settings: Settings) -> None:
    record = BENCHMARK.measure(
        FeatureExtractor.load(VIT), data, replace(settings, two_starts=False, epochs=1)
    )
    values = record.metrics
    assert values["barrier"].value == values["barrier_uncalibrated"].value
    assert math.isfinite(values["drop"].value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(points=2), "points=2 must be at least 3"),
        (dict(deltas=(0.5, 0.1)), r"deltas=\(0.5, 0.1\) must be ascending"),
        (dict(deltas=()), r"deltas=\(\) must be ascending"),
        (dict(statistics_images=1), "statistics_images=1 must be at least 2"),
        (dict(epochs=0), "epochs=0 must be greater than 0"),
    ],
)
def test_mistakes_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**changes)


def test_the_figure(record: Record, tmp_path: Path) -> None:
    assert BARRIER.gather(Sources()) == {}
    sheets = BARRIER.gather(Sources(arms=("a",), runs=dict(a=[Run(record, benchmark="barrier")])))
    (panels,) = sheets.values()
    assert len(panels.panels) == 6
    drawn = BARRIER.draw(panels, tmp_path / "barrier.svg").read_text()
    assert "two random starts" in drawn
