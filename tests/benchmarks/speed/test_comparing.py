"""The overhead of a comparison: what is run, and what the seconds count."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.speed import comparing


def test_seconds_are_those_of_the_process_and_its_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}])"
    assert 0.3 <= comparing.processor_seconds(["-c", child], dict(os.environ)) < 10
    with pytest.raises(ValueError, match="failed: Traceback"):
        comparing.processor_seconds(["-c", "raise OSError('no such thing')"], dict(os.environ))


def test_the_same_work_is_done_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a trained trial, an untrained one and a baseline; each command takes a second."""
    commands: list[Sequence[str]] = []

    def pretend(arguments: Sequence[str], environment: dict[str, str]) -> float:
        commands.append(arguments)
        if "compare" in arguments:
            work = Path(arguments[arguments.index("--work-dir") + 1])
            for arm, train in (("trained", True), ("untrained", False)):
                content = dict(arm=arm, seed=0, train=train, samples=8, config={}, benchmarks=[])
                content |= dict(trainer=["python", "-m", "trainer"], hash="")
                (work / arm / "seed_0").mkdir(parents=True)
                (work / arm / "seed_0" / "trial.json").write_text(json.dumps(content))
            (work / "baselines/majority/knn").mkdir(parents=True)
            (work / "baselines/majority/knn/request.json").write_text("{}")
            return 5.0
        return 1.0

    monkeypatch.setattr(comparing, "processor_seconds", pretend)
    assert comparing.measure(Path("c.py"), tmp_path, threads=1) == (5.0, 4.0, 2)
    trained = [command for command in commands if "trainer" in command]
    (command,) = trained
    assert command[2].endswith("compare/trained/seed_0/config.py") and command[3] == "--work-dir"


def test_the_command_prints_medians(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = iter([(110.0, 100.0, 3), (103.0, 100.0, 3), (104.0, 100.0, 3)])
    monkeypatch.setattr(comparing, "measure", lambda *_, **__: next(measured))
    comparing.run(config=Path("c.py"), threads=1, repetitions=3)
    assert capsys.readouterr().out.splitlines()[-1] == "| 3 | 104.0 | 100.0 | 4.0 | 4.0 |"
