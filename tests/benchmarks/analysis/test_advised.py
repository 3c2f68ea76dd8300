"""Advised: real runs of a few steps with the hook, against retrieval of each checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.analysis.advised import BENCHMARK, Settings
from benchmarks.analysis.references import load_reference
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record
from benchmarks.frozen import retrieval
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.hooks.structure_course import read_course, write_course

SMALL = dict(size=(40, 48), neighbours=5)
WATCH = dict(type="DenseStructureHook", images=24, group=3, clusters=9, rank_cells=240)


@pytest.fixture(scope="module")
def runs(image_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``random``, a run of 4 steps, and ``post``, one that goes on from its weights."""
    root = tmp_path_factory.mktemp("runs")
    view = dict(size=32)
    for name, start in (("random", None), ("post", root / "random" / "final.pth")):
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
            hooks=[WATCH],
            seed=3,
            work_dir=str(root / name),
            vis_backends=[],
            load_from=None if start is None else str(start),
        )
        build_runner(PretrainConfig(config)).train()
    return root


def heights(folder: Path, values: list[float]) -> None:
    """Makes DSE of a run's checkpoints what a test wants: the class part, with equal M_dim."""
    facts, looks = read_course(folder)
    for place, value in enumerate(values):
        shares = ((value, 5.0),) * 4
        looks[place] = replace(looks[place], inter=value, intra=0.0, dimension=5.0, shares=shares)
    write_course(folder, facts, looks)


@pytest.fixture
def measure(toy_data: Callable[..., Any]) -> Callable[[Path], Record]:
    def run(file: Path) -> Record:
        return BENCHMARK.measure(FeatureExtractor.load(str(file)), toy_data(), Settings(**SMALL))

    return run


@pytest.fixture
def quality(toy_data: Callable[..., Any]) -> Callable[[FeatureExtractor], float]:
    settings = Settings(**SMALL).of_retrieval()

    def measured(network: FeatureExtractor) -> float:
        return retrieval.BENCHMARK.measure(network, toy_data(), settings).metrics["mIoU"].value

    return measured


def test_the_advised_checkpoint_is_compared_with_the_last(
    runs: Path, measure: Callable[..., Record], quality: Callable[..., float]
) -> None:
    heights(runs / "post", [0.1, 0.2, 0.5, 0.3, 0.1])
    record = measure(runs / "post" / "final.pth")
    values = {name: metric.value for name, metric in record.metrics.items()}
    best, last = (
        quality(FeatureExtractor.load(str(runs / "post" / name)))
        for name in ("iter_2.pth", "final.pth")
    )
    assert record.counts["steps"] == dict(advised=2, highest=2, last=4)
    assert (values["advised"], values["highest"], values["last"]) == (best, best, last)
    assert values["gain"] == values["highest_gain"] == best - last
    assert record.counts["gain_over_images"][0] == pytest.approx(best - last, abs=1e-9)
    assert values["cosine_to_start"] == read_course(runs / "post")[1][-1].cosine
    assert record.counts["strength"] == "a hint" and set(values) == set(BENCHMARK.metrics)


def test_the_start_may_be_the_advised_one(
    runs: Path, measure: Callable[..., Record], quality: Callable[..., float]
) -> None:
    heights(runs / "post", [0.5, 0.2, 0.1, 0.3, 0.1])
    record = measure(runs / "post" / "final.pth")
    start = quality(load_reference(FeatureExtractor.load(str(runs / "post" / "final.pth"))))
    assert record.counts["steps"]["advised"] == 0 and record.metrics["advised"].value == start
    assert start == quality(FeatureExtractor.load(str(runs / "random" / "final.pth")))


def test_from_random_weights_the_advice_is_the_last_and_the_highest_is_measured_too(
    runs: Path, measure: Callable[..., Record]
) -> None:
    heights(runs / "random", [0.1, 0.5, 0.2, 0.3, 0.1])
    record = measure(runs / "random" / "final.pth")
    assert record.counts["steps"] == dict(advised=4, highest=1, last=4)
    values = {name: metric.value for name, metric in record.metrics.items()}
    assert values["gain"] == 0 and values["advised"] == values["last"]
    assert values["highest_gain"] == values["highest"] - values["last"]
    assert "random weights" in record.counts["overruled"]


def test_a_checkpoint_on_the_way_is_judged_by_what_was_known_then(
    runs: Path, measure: Callable[..., Record]
) -> None:
    heights(runs / "post", [0.1, 0.2, 0.5, 0.3, 0.9])
    record = measure(runs / "post" / "iter_3.pth")
    assert record.counts["steps"] == dict(advised=2, highest=2, last=3)


def test_an_untrained_network_is_its_own_last(toy_data: Callable[..., Any]) -> None:
    network = FeatureExtractor.load("random:test_resnet?output_stride=8")
    record = BENCHMARK.measure(network, toy_data(), Settings(**SMALL))
    assert record.metrics["gain"].value == 0
    assert "cosine_to_start" not in record.metrics


def test_a_training_without_the_hook_is_refused(runs: Path, measure: Callable[..., Record]) -> None:
    (runs / "random" / "dense_structure.jsonl").unlink()
    with pytest.raises(ValueError, match="final.pth: no dense structure was measured of this"):
        measure(runs / "random" / "final.pth")
