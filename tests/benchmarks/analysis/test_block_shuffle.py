"""Shuffled blocks as an analysis: a case with a known answer, its record, and its figure."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.analysis.block_shuffle import BENCHMARK, FIGURE, Settings, relative_drop
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record
from benchmarks.data import ClassFolder
from benchmarks.report.figures import Sources, draw_figures
from benchmarks.report.runs import Run
from benchmarks.report.statistics.bootstrap import image_sums

OPTIONS = {"schedule.global_batch": 4, "schedule.warmup_epochs": 0}


def settings(**changes: Any) -> Settings:
    """Small settings that learn hues."""
    return Settings(**dict(size=32, epochs=6, lr=0.02, checkpoints=0, options=OPTIONS) | changes)


@pytest.fixture(scope="module")
def record(split_folder: Path) -> Record:
    """Blocks of a pixel on classes that differ in hue alone."""
    extractor = FeatureExtractor.load("random:test_resnet?seed=4")
    return BENCHMARK.measure(extractor, ClassFolder(split_folder), settings(block=1))


def test_a_shuffle_of_pixels_leaves_what_hue_tells(record: Record) -> None:
    """No block holds any structure, and both networks name every image."""
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert values["top1"] == values["random_top1"] == 100 and values["relative_drop"] == 0
    assert values["speed"] > 50 and values["random_speed"] > 50
    assert set(record.metrics) == set(BENCHMARK.metrics)


def test_the_record_says_how_it_was_measured(record: Record) -> None:
    assert record.protocol["block"] == 1 and record.protocol["epochs"] == 6
    assert record.subject["tuning_seed"] == 0
    assert record.counts["moved"] > 0.99 and record.counts["largest_class"] == pytest.approx(
        100 / 3
    )
    for curve, name in (("curve", "speed"), ("random_curve", "random_speed")):
        values = record.counts[curve]
        assert len(values) == 6
        assert sum(values) / 6 == pytest.approx(record.metrics[name].value)
    for name in ("top1", "random_top1"):  # intervals over validation images
        assert len(image_sums(record, name).images) == 12


def test_seeds_share_a_protocol_and_blocks_do_not(split_folder: Path, tmp_path: Path) -> None:
    data = ClassFolder(split_folder)
    extractor = FeatureExtractor.load("random:test_resnet?seed=4")

    def measured(**changes: Any) -> Record:
        return BENCHMARK.measure(
            extractor, data, settings(epochs=1, work_dir=str(tmp_path), **changes)
        )

    first, second = measured(block=8), measured(block=8, tuning_seed=1)
    assert first.protocol_hash == second.protocol_hash
    assert first.protocol_hash != measured(block="*").protocol_hash
    folders = {path.parent for path in tmp_path.rglob("final.pth")}
    assert len(folders) == 6  # a pretrained and a random start for each
    assert measured(block=8).metrics == first.metrics


def test_relative_drop() -> None:
    """Quickdraw without a shuffle, as the paper's figure 3 reads: 64 to 50."""
    assert relative_drop(64, 50) == pytest.approx(21.875)
    assert relative_drop(50, 60) == -20 and math.isnan(relative_drop(0, 10))


@pytest.mark.parametrize(
    ("changes", "message"),
    [(dict(block=5), "block=5: .* legal are 1, 2, 4, 8, 16, 32, and"), (dict(epochs=0), "epochs")],
)
def test_mistakes_in_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def shuffled(block: int | str, top1: float, data: object = "toys") -> Record:
    metrics = {}
    for name in BENCHMARK.metrics:
        metrics[name] = Metric(top1 / 2 if name.startswith("random_") else top1, "%")
    protocol = dict(block=block, recipe=f"hash of {block}", data=data)
    return Record("block_shuffle", metrics, protocol, counts=dict(largest_class=10.0))


def test_the_figure_orders_blocks_and_gathers_seeds(tmp_path: Path) -> None:
    runs = [Run(shuffled(block, value)) for block, value in ((8, 70), ("*", 20), (1, 30), (1, 40))]
    other = Run(Record("knn", dict(top1=Metric(1.0, "%")), dict(data="toys")))
    sources = Sources(arms=["a"], runs=dict(a=[*runs, other]))
    (sheet,) = FIGURE.gather(sources).values()
    assert sheet.blocks == ["*", 1, 8] and sheet.floor == 10
    assert [len(sheet.records["a"][block]) for block in sheet.blocks] == [1, 2, 1]
    draw_figures((FIGURE,), sources, tmp_path, console=Console(quiet=True))
    text = (tmp_path / "pictures/block_shuffle.svg").read_text()
    assert "optimisation speed" in text and 'id="arm:a"' in text


def test_other_data_have_a_sheet_of_their_own() -> None:
    photos, drawings = (dict(classes=n, train_images=90, train_content=str(n)) for n in (5, 7))
    runs = [
        Run(shuffled(8, 70, photos)),
        Run(shuffled(1, 60, photos)),
        Run(shuffled(8, 9, drawings)),
    ]
    sheets = FIGURE.gather(Sources(arms=["a"], runs=dict(a=runs)))
    assert list(sheets) == ["5 classes, 90 training images", "7 classes, 90 training images"]
    assert [sheet.blocks for sheet in sheets.values()] == [[1, 8], [8]]
