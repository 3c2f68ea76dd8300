"""The benchmark of evaluations: alone nothing is kept, behind the first one all maps are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.speed import evaluating
from benchmarks.speed.evaluating import COLUMNS, COMMAND, Evaluation, cells, measure
from pretrain.command_line import execute

NETWORK = "random:test_resnet?output_stride=8"
SETTINGS = (
    "retrieval.size=32,32 retrieval.memory_size=100 retrieval.passes=1 retrieval.augment=False "
    "probe.size=32,32 probe.train_at=low probe.least_steps=2"
).split()


@pytest.fixture(autouse=True)
def no_lasting_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and kept memory would stay for all tests."""
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr("benchmarks.speed.measuring.keep_freed_memory", lambda: True)


def test_the_second_benchmark_finds_the_maps_of_the_first(toy_root: Path) -> None:
    names = ["retrieval", "probe"]
    phases = []
    measured = measure(
        NETWORK,
        names,
        [f"plain:{toy_root}?images=images/{{split}}&masks=masks/{{split}}&classes=3&ignore=255"],
        SETTINGS,
        device="cpu",
        progress=lambda phase, done, in_all: phases.append((phase, done, in_all)),
    )
    (first, _), (second, behind) = measured
    assert first.found == second.found == 0 and behind.found == 1
    assert all(0 <= one.waiting <= one.seconds for pair in measured for one in pair)
    assert phases == [(name, n, 4) for n, name in enumerate([*names, *names], 1)]


def test_cells_are_medians_and_the_ratio_is_of_one_repetition() -> None:
    rounds = [
        (Evaluation(10, 1, 0), Evaluation(5, 0, 1)),
        (Evaluation(20, 4, 0), Evaluation(4, 0, 1)),
        (Evaluation(40, 2, 0), Evaluation(30, 0, 1)),
    ]
    assert cells("probe", rounds) == ["probe", "20.0", "10.0", "5.0", "0.50", "100"]
    blind = [(Evaluation(1, 0, None), Evaluation(1, 0, None))]
    assert cells("knn", blind)[-1] == "–"


def test_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Evaluation(10, 1, 0), Evaluation(5, 0, 0.25)
    monkeypatch.setattr(evaluating, "measure", lambda *case, **options: [pair, pair])
    words = [NETWORK, "--benchmark", "retrieval", "probe", "--data", "camvid:x"]
    assert execute(COMMAND, "evaluating", [*words, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[1] == f"| {' | '.join(COLUMNS)} |"
    assert lines[4] == "| probe | 10.0 | 10.0 | 5.0 | 0.50 | 25 |"
