"""A record is made again from its own folder, and the answer says whether it came back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.compare.executors import Local
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from benchmarks.compare.trial_folder import TrialFolder
from benchmarks.runs.reproduce import Comeback

RunTool = Callable[..., int]
WEAK = "out/weak/seed_0"


@pytest.fixture
def finished(toy: Callable[..., Path], trainer: tuple[str, ...]) -> Path:
    """A comparison that has run, and the log of its trainer's calls."""
    options = Options(executor=Local(jobs=2, gpus=0), trainer=trainer, console=Console(quiet=True))
    path = toy()
    assert run_comparison(load_plan(path, "out"), options) == 0
    return path.parent / "calls.txt"


def test_a_trial_comes_back_with_its_training(
    finished: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(finished.read_text().splitlines())
    assert run_tool("reproduce", WEAK, "--out", "again") == 0
    text = capsys.readouterr().out
    assert "toy.score: 2 came back exactly" in text and "versions are the same" in text
    assert len(finished.read_text().splitlines()) == before + 1
    assert Path("again/pretrain/final.pth").is_file()
    assert json.loads(Path("again/reproduced.json").read_text())["came_back"]

    records = Path("out/records.jsonl").read_text().splitlines()
    number = [json.loads(line)["subject"]["trial"]["arm"] for line in records].index("strong") + 1
    assert run_tool("reproduce", f"out/records.jsonl:{number}") == 0
    assert "toy.score: 30 came back exactly" in capsys.readouterr().out
    assert Path("work_dirs/reproduced/strong_seed_0/trial.json").is_file()
    assert run_tool("reproduce", f"out/records.jsonl:{number}") == 2
    assert "is there already" in capsys.readouterr().err


def test_the_evaluation_alone_keeps_the_network(
    finished: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = finished.read_text()
    network = Path(WEAK, "pretrain/final.pth")
    # Within the arm's interval of two seeds, 2.5 ± 6.35; then far outside of it.
    for score, code, verdict in ((2.5, 0, "2 → 2.5, within"), (90.0, 1, "2 → 90, NOT within")):
        network.write_text(json.dumps(dict(score=score)))
        assert run_tool("reproduce", WEAK, "--evaluation", "--out", f"out_{score}") == code
        assert f"toy.score: {verdict} its interval ± 6.35" in capsys.readouterr().out
    network.unlink()
    assert run_tool("reproduce", WEAK, "--evaluation", "--out", "third") == 2
    assert "the network of the record is gone" in capsys.readouterr().err
    assert finished.read_text() == before and not Path("third").exists()


def test_what_is_missing_is_said(
    finished: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(target: str) -> str:
        assert run_tool("reproduce", target, "--out", "again") == 2 and not Path("again").exists()
        return capsys.readouterr().err

    assert "name one as out/records.jsonl:N" in error("out/records.jsonl")
    assert "holds 6 records" in error("out/records.jsonl:7")
    assert "is no folder of a trial" in error("out")
    assert "no folder of a trial, and no file" in error("nowhere")
    shutil.copy("out/records.jsonl", "alone.jsonl")
    assert "without it nothing says what to train" in error("alone.jsonl:1")
    record = json.loads(Path("out/records.jsonl").read_text().splitlines()[0])
    del record["subject"]["trial"]
    Path("alone.jsonl").write_text(json.dumps(record))
    assert "does not say what it was asked for" in error("alone.jsonl")
    spec = json.loads(Path(WEAK, "trial.json").read_text())
    spec["benchmarks"][0]["data"]["root"] = "gone"
    Path(WEAK, "trial.json").write_text(json.dumps(spec))
    assert "has no record of its present settings" in error(WEAK)


def test_a_number_without_an_interval_must_be_the_same() -> None:
    assert Comeback("a.b", 1.0, 1.0, None, "").came_back
    changed = Comeback("a.b", 1.0, 1.1, None, "")
    assert not changed.came_back and "has no interval" in str(changed)


def test_a_stopped_trial_is_measured_again_at_its_checkpoint_and_not_trained(
    finished: Path, run_tool: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    before, folder = finished.read_text(), TrialFolder(Path(WEAK))
    checkpoint = folder.training / "iter_5.pth"
    (folder.training / "final.pth").rename(checkpoint)
    folder.decide({"rule": "r", "course": [], "stop": 40})
    folder.end_early(40, checkpoint)
    record = json.loads(folder.records.read_text())
    record["subject"]["trial"]["stopped"] = 40
    folder.records.write_text(json.dumps(record) + "\n")
    assert run_tool("reproduce", WEAK, "--out", "again") == 2
    assert "was stopped after 40 of 80 samples" in capsys.readouterr().err
    assert run_tool("reproduce", WEAK, "--evaluation", "--out", "measured") == 0
    assert "toy.score: 2 came back exactly" in capsys.readouterr().out
    assert finished.read_text() == before
