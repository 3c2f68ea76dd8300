"""Fine-tuning along a pretraining: which checkpoints, how early a gain is there, the record."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmarks.analysis.which_checkpoint import (
    BENCHMARK,
    FIGURE,
    Settings,
    course_of,
    earliness,
)
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import ClassFolder
from benchmarks.report.figures import Sources, draw_figures
from benchmarks.report.runs import Run
from benchmarks.weights.untrained import untrained_content
from pretrain.engine.config import PretrainConfig

MODEL = dict(
    type="Pretrainer",
    backbone=dict(type="TimmBackbone", name="test_resnet"),
    objectives=[dict(type="PixPro", hidden=32, dim=16)],
)
OPTIONS = {"schedule.global_batch": 4, "schedule.warmup_epochs": 0}


def write(path: Path, samples: int, *, seed: int = 3) -> Path:
    """A checkpoint as a run leaves it after so many images; weights drift with them."""
    config = PretrainConfig(dict(model=MODEL, seed=seed))
    content = untrained_content(config)
    generator = torch.Generator().manual_seed(samples)
    for key, value in content["state_dict"].items():
        if key.endswith("weight") and value.is_floating_point():
            noise = torch.randn(value.shape, generator=generator)
            value += 0.01 * value.std().nan_to_num(0) * noise
    meta = {key: content["meta"][key] for key in ("backbone", "normalisation")}
    meta |= dict(samples_seen=samples, cfg=config.pretty_text)
    torch.save(dict(meta=meta, state_dict=content["state_dict"]), path)
    return path


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with five checkpoints and a final one, 100 images apart."""
    folder = tmp_path_factory.mktemp("training")
    for number in range(1, 6):
        write(folder / f"iter_{number}.pth", 100 * number)
    write(folder / "final.pth", 500)
    return folder


@pytest.mark.parametrize(
    ("points", "samples"),
    [(1, [500]), (2, [300, 500]), (3, [200, 400, 500]), (9, [100, 200, 300, 400, 500])],
)
def test_checkpoints_are_spread_evenly_and_end_with_the_network(
    training: Path, points: int, samples: list[int]
) -> None:
    extractor = FeatureExtractor.load(f"{training / 'final.pth'}?output_stride=8")
    course = course_of(extractor, (), points)
    assert [seen for seen, _ in course] == samples and course[-1][1] == extractor.spec
    assert all(spec.endswith("?output_stride=8") for _, spec in course)


def test_files_may_be_named_and_later_ones_are_left_out(training: Path) -> None:
    extractor = FeatureExtractor.load(str(training / "iter_3.pth"))
    assert [seen for seen, _ in course_of(extractor, (), 9)] == [100, 200, 300]
    files = tuple(str(training / f"iter_{number}.pth") for number in (1, 4))
    assert [seen for seen, _ in course_of(extractor, files, 9)] == [100, 300]


def test_what_is_no_checkpoint_of_this_training_is_refused(training: Path, tmp_path: Path) -> None:
    extractor = FeatureExtractor.load(str(training / "final.pth"))
    other = write(tmp_path / "other.pth", 100, seed=4)
    with pytest.raises(ValueError, match=r"other\.pth is no checkpoint of the pretraining of"):
        course_of(extractor, (str(other),), 3)
    with pytest.raises(ValueError, match="random:test_resnet is no checkpoint that says how many"):
        course_of(FeatureExtractor.load("random:test_resnet"), (), 3)
    with pytest.raises(ValueError, match="points=0 must be at least 1"):
        Settings(points=0)


def test_earliness_in_closed_form() -> None:
    assert earliness([0, 50, 100], [10, 20, 30]) == pytest.approx(50)
    assert earliness([0, 1, 100], [10, 30, 30]) == pytest.approx(99.5)
    assert earliness([0, 99, 100], [10, 10, 30]) == pytest.approx(0.5)
    assert earliness([0, 50, 100], [0, 20, 10]) == pytest.approx(125)  # above its end on the way
    assert math.isnan(earliness([0, 100], [30, 30]))


def test_the_record_holds_the_course(training: Path, split_folder: Path, tmp_path: Path) -> None:
    settings = dict(size=32, epochs=1, lr=0.01, checkpoints=0, options=OPTIONS, points=2)
    work = tmp_path / "work"
    extractor, data = (
        FeatureExtractor.load(str(training / "final.pth")),
        ClassFolder(split_folder),
    )
    seen: set[str] = set()
    record = BENCHMARK.measure(
        extractor,
        data,
        Settings(work_dir=str(work), **settings),
        progress=lambda phase, *_: seen.add(phase),
    )
    course = record.counts["course"]
    assert course["samples"] == [0, 300, 500] and len(record.subject["along"]) == 3
    assert record.metrics["top1"].value == course["top1"][-1]
    assert record.metrics["start_speed"].value == course["speed"][0]
    assert (
        set(record.metrics) == set(BENCHMARK.metrics) and "2/3 after 300 images: fine-tune" in seen
    )
    assert record.subject["fingerprint"] == record.subject["along"][-1]
    assert len(list(work.rglob("final.pth"))) == 3
    draw_figures(
        (FIGURE,),
        Sources(arms=["a"], runs=dict(a=[Run(record)])),
        tmp_path,
        console=Console(quiet=True),
    )
    assert "accuracy after fine-tuning" in (tmp_path / f"pictures/{FIGURE.name}.svg").read_text()


def test_the_figure_needs_a_record() -> None:
    assert FIGURE.gather(Sources()) == {}
