"""Along training: a real run of a few steps, measured anew, from records, and from the hook's."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.analysis import along_training, dense_structure
from benchmarks.analysis.along_training import BENCHMARK, PARTS, Settings, judge
from benchmarks.analysis.along_training_figure import FIGURE
from benchmarks.analysis.checkpoints import Measurement
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record, read_all
from benchmarks.core.selection import kendall
from benchmarks.evaluate.hook import EvaluationHook
from benchmarks.frozen import retrieval
from benchmarks.report.figures import Sources
from benchmarks.report.runs import Run
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.hooks.dense_structure import estimate

SMALL = dict(size=(40, 48), images=4, group=2, clusters=3, rank_cells=40, neighbours=5)


@pytest.fixture(scope="module")
def trained(image_folder: Path, toy_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a run of 4 steps of 4 images that kept all checkpoints, measured at steps 2, 4."""
    folder = tmp_path_factory.mktemp("run")
    plain = dict(layout="plain", images="images/{split}", masks="masks/{split}", classes=3)
    data = dict(root=str(toy_root), ignore=255, **plain)
    structure = {key: SMALL[key] for key in ("size", "images", "group", "clusters", "rank_cells")}
    benchmarks = dict(
        dense_structure=dict(data=data, **structure),
        retrieval=dict(data=data, size=SMALL["size"], neighbours=5),
    )
    view = dict(size=32)
    config = dict(
        model=dict(
            type="Pretrainer",
            backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
            objectives=[dict(type="SimCLR")],
        ),
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups={"global": [view, view]}),
        loader=dict(workers=0),
        schedule=dict(global_batch=4, samples=16, warmup_samples=4, lr_rule="none", lr=0.1),
        optimizer=dict(type="SGD"),
        engine=dict(checkpoint_every=1, keep_checkpoints=100, log_every=1),
        hooks=[dict(type=EvaluationHook.__name__, every=2, benchmarks=benchmarks)],
        seed=3,
        work_dir=str(folder),
        vis_backends=[],
    )
    build_runner(PretrainConfig(config)).train()
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run without the records made during training."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run/evaluations.jsonl").unlink()
    return tmp_path / "run"


@pytest.fixture
def measure(toy_data: Callable[..., Any]) -> Callable[..., Record]:
    def run(file: Path, **changes: Any) -> Record:
        network = FeatureExtractor.load(str(file))
        return BENCHMARK.measure(network, toy_data(), Settings(**SMALL | changes))

    return run


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is measured from now on: benchmark and images seen."""
    made: list[tuple[str, int]] = []
    measure = Measurement.measure

    def watched(self: Measurement, network: FeatureExtractor) -> Record:
        made.append((self.benchmark.name, network.samples_seen))
        return measure(self, network)

    monkeypatch.setattr(Measurement, "measure", watched)
    return made


def test_every_checkpoint_counts_and_so_does_the_start(
    folder: Path, toy_data: Callable[..., Any], measure: Callable[..., Record]
) -> None:
    record, data = measure(folder / "final.pth"), toy_data()
    course = record.counts["checkpoints"]
    assert course["samples"] == [0, 4, 8, 12, 16]
    settings = Settings(**SMALL)
    for place in (1, 3):
        network = FeatureExtractor.load(str(folder / f"iter_{place}.pth"))
        own = dense_structure.BENCHMARK.measure(network, data, settings.of_structure())
        for part in PARTS:
            assert course[part][place] == pytest.approx(own.metrics[part].value)
        quality = retrieval.BENCHMARK.measure(network, data, settings.of_retrieval())
        assert course["quality"][place] == pytest.approx(quality.metrics["mIoU"].value)
    dse = estimate(course["class_part"], course["dimension"])
    assert course["dse"] == pytest.approx(dse.tolist())
    assert record.counts["pick"] == course["samples"][int(np.argmax(dse))]
    quality = np.array(course["quality"])
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert values["regret"] == pytest.approx(quality.max() - quality[np.argmax(dse)])
    assert values["gain"] == pytest.approx(quality[np.argmax(dse)] - quality[-1])
    assert values["gain"] == pytest.approx(values["last_regret"] - values["regret"])
    assert values["chance_regret"] == pytest.approx(quality.max() - quality.mean())
    assert values["tau"] == pytest.approx(kendall(dse, quality), nan_ok=True)
    assert values["tau_samples"] == pytest.approx(kendall(range(5), quality), nan_ok=True)
    assert 0 <= values["three_regret"] <= values["regret"]
    assert set(values) == set(BENCHMARK.metrics)


def test_what_is_known_is_not_measured_again(
    folder: Path, measure: Callable[..., Record], measured: list[tuple[str, int]]
) -> None:
    first = measure(folder / "final.pth")
    assert len(measured) == 10 and len(read_all(folder / "along_training.jsonl")) == 10
    measured.clear()
    again = measure(folder / "iter_2.pth")  # of the same run
    assert measured == [] and again.counts == first.counts
    for step in range(1, 5):
        (folder / f"iter_{step}.pth").unlink()
    alone = measure(folder / "final.pth")  # checkpoints that are gone
    assert measured == [] and alone.counts == first.counts
    assert alone.protocol_hash == first.protocol_hash


def test_other_settings_measure_only_what_depends_on_them(
    folder: Path, measure: Callable[..., Record], measured: list[tuple[str, int]]
) -> None:
    first = measure(folder / "final.pth")
    measured.clear()
    other = measure(folder / "final.pth", neighbours=3)
    assert {name for name, _ in measured} == {"retrieval"} and len(measured) == 5
    assert other.protocol_hash != first.protocol_hash
    measured.clear()
    accuracy = measure(folder / "final.pth", quality="pixel_accuracy")
    assert measured == [] and accuracy.protocol_hash != first.protocol_hash


def test_the_hook_measures_during_training_what_is_wanted_here(
    trained: Path,
    tmp_path: Path,
    measure: Callable[..., Record],
    measured: list[tuple[str, int]],
) -> None:
    """Checkpoints 1 and 3 are only in files, the start is only in the recipe."""
    shutil.copytree(trained, tmp_path / "run")
    whole = measure(tmp_path / "run/final.pth")
    assert [samples for _, samples in measured] == [0, 0, 4, 4, 12, 12]
    shutil.copytree(trained, tmp_path / "kept")
    for file in (tmp_path / "kept").glob("iter_*.pth"):
        file.unlink()
    measured.clear()
    few = measure(tmp_path / "kept/final.pth")
    assert [samples for _, samples in measured] == [0, 0]
    assert few.counts["checkpoints"]["samples"] == [0, 8, 16]
    for column in PARTS + ("quality",):
        expected = whole.counts["checkpoints"][column][::2]
        assert few.counts["checkpoints"][column] == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"2 checkpoints are known, at least 3 .*EvaluationHook"):
        measure(tmp_path / "kept/final.pth", start=False)


def test_records_of_other_weights_do_not_count(
    folder: Path, measure: Callable[..., Record], measured: list[tuple[str, int]]
) -> None:
    measure(folder / "final.pth")
    content = torch.load(folder / "iter_2.pth", weights_only=True)
    for key, value in content["state_dict"].items():
        if key.startswith("backbone.") and value.is_floating_point():
            value += 0.1
    torch.save(content, folder / "iter_2.pth")
    (folder / "iter_3.pth").unlink()
    measured.clear()
    record = measure(folder / "final.pth")
    assert measured == [("dense_structure", 8), ("retrieval", 8)]
    # Whose the records of step 3 are is not known: they are left out.
    assert record.counts["checkpoints"]["samples"] == [0, 4, 8, 16]


def test_records_go_where_the_user_says(
    folder: Path, tmp_path: Path, measure: Callable[..., Record]
) -> None:
    record = measure(folder / "final.pth", start=False, written=str(tmp_path / "own.jsonl"))
    assert record.counts["checkpoints"]["samples"] == [4, 8, 12, 16]
    assert len(read_all(tmp_path / "own.jsonl")) == 8
    assert not (folder / "along_training.jsonl").exists()
    assert "written" not in record.protocol


def test_networks_without_checkpoints_are_refused(
    tmp_path: Path, folder: Path, toy_data: Callable[..., Any], measure: Callable[..., Record]
) -> None:
    random = FeatureExtractor.load("random:test_resnet?output_stride=8")
    with pytest.raises(ValueError, match="random:test_resnet.* is not a checkpoint of a training"):
        BENCHMARK.measure(random, toy_data(), Settings(**SMALL))
    content = torch.load(folder / "final.pth", weights_only=True)
    del content["meta"]["cfg"]
    torch.save(content, folder / "final.pth")
    with pytest.raises(ValueError, match=r"start=True: .*; or set start=False"):
        measure(folder / "final.pth")


def course_of(quality: list[float], class_part: list[float]) -> dict[int, dict[str, Record]]:
    """Records of a made-up run whose dimension never changes, so that DSE is the class part."""
    course = {}
    for place, (value, part) in enumerate(zip(quality, class_part, strict=True)):
        parts = dict.fromkeys(PARTS, Metric(5.0, "1")) | dict(class_part=Metric(part, "1"))
        structure = Record("dense_structure", parts, {})
        course[100 * place] = dict(
            structure=structure, quality=Record("retrieval", dict(mIoU=Metric(value, "%")), {})
        )
    return course


def test_the_pick_is_the_highest_and_three_are_proposed() -> None:
    metrics, counts = judge(course_of([10, 14, 12, 20, 11], [1, 4, 2, 3, 0]), "mIoU")
    values = {name: metric.value for name, metric in metrics.items()}
    assert (counts["pick"], counts["best"], counts["candidates"]) == (100, 300, [100, 300])
    assert values["regret"] == 6 and values["three_regret"] == 0 and values["gain"] == 3
    assert values["last_regret"] == 9 and values["chance_regret"] == pytest.approx(20 - 13.4)
    assert values["tau"] == values["tau_class_part"] == pytest.approx(0.6)
    assert math.isnan(values["tau_dimension"]) and metrics["gain"].better == "higher"
    assert metrics["regret"].unit == "%" and counts["gain_over_images"] is None


def test_the_gain_has_an_interval_over_images(folder: Path, measure: Callable[..., Record]) -> None:
    record = measure(folder / "final.pth")
    mean, half = record.counts["gain_over_images"]
    assert mean == pytest.approx(record.metrics["gain"].value, abs=1e-9) and half >= 0


def test_the_figure_has_a_panel_per_run(tmp_path: Path) -> None:
    runs = {}
    for arm in ("one", "two"):
        metrics, counts = judge(course_of([10, 14, 12, 20, 11], [1, 4, 2, 3, 0]), "mIoU")
        record = Record("along_training", metrics, dict(quality="mIoU"), counts=counts)
        runs[arm] = [Run(record, f"{arm}/seed_0"), Run(Record("knn", {}, {}), arm)]
    (panels,) = FIGURE.gather(Sources(runs=runs)).values()
    FIGURE.draw(panels, tmp_path / "f.svg")
    text = (tmp_path / "f.svg").read_text()
    assert text.count("τ 0.60") == 2 and "one/seed_0" in text and 'id="arm:two"' in text
    assert FIGURE.gather(Sources(runs=dict(one=[Run(Record("knn", {}, {}))]))) == {}
    read = Record.from_json(
        replace(record, counts=counts | dict(tau_interval=[math.nan] * 2)).to_json()
    )
    FIGURE.draw(FIGURE.gather(Sources(runs=dict(one=[Run(read)])))[""], tmp_path / "g.svg")
    assert "[–, –]" in (tmp_path / "g.svg").read_text()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (dict(quality="mIuO"), "quality='mIuO' is not one of mIoU, pixel_accuracy"),
        (dict(neighbours=0), "neighbours=0 must be greater than 0"),
        (dict(images=4), "images=4 must be at least 8"),
    ],
)
def test_settings_are_checked(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Settings(**setting)


def test_settings_of_the_parts_are_those_of_their_benchmarks() -> None:
    settings = along_training.Settings(size=(64, 96), clusters=5, temperature=0.1)
    assert settings.of_structure() == dense_structure.Settings(size=(64, 96), clusters=5)
    assert settings.of_retrieval() == retrieval.Settings(
        size=(64, 96), temperature=0.1, memory_size=102_400, passes=1, augment=False
    )
