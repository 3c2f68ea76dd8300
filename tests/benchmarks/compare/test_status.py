"""Where a comparison stands, read from its folder by a process that runs nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.commands.main import main
from benchmarks.compare import status
from benchmarks.compare.budget import with_samples
from benchmarks.compare.plan import load_plan
from benchmarks.compare.trial_folder import TrialFolder, make_spec
from pretrain import lock_owner
from pretrain.folder_lock import exclusive
from pretrain.places import import_path

ELSEWHERE = """
import sys, time
from pretrain import folder_lock, lock_owner
lock_owner.BEAT_SECONDS = 0.1
lock_owner.this_machine = lambda: "node2"
lock_owner.socket.gethostname = lambda: "node2"
locks = [folder_lock.FolderLock(folder, "trial") for folder in sys.argv[1:]]
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folders(toy: Callable[..., Path]) -> dict[str, TrialFolder]:
    """The toy's trials: one done, one half trained, one that failed twice, three that wait."""
    plan = load_plan(toy(), "out")
    folders = {}
    for trial in plan.trials:
        config = with_samples(trial.config, 80) if trial.arm.train else trial.config
        folders[trial.name] = folder = TrialFolder(trial.directory)
        folder.write(make_spec(trial, config, benchmarks=plan.benchmarks), config)
    done = folders["strong/seed_0"]
    done.note(phase="done", pretrain_seconds=90.0, evaluation_seconds=10.0)
    (benchmark,) = done.spec().benchmarks
    origin = {"config": done.spec().hash, "benchmark": "toy", "settings": benchmark.hash}
    record = status_record(origin)
    done.records.write_text(record + "\n")
    half = folders["weak/seed_0"]
    half.note(phase="pretraining")
    half.training.mkdir()
    progress = {"step": 5, "total": 10, "samples_per_s": 20.0, "eta_s": 45.0}
    (half.training / "progress.json").write_text(json.dumps(progress))
    failed = folders["weak/seed_1"]
    (failed.path / "log.txt").write_text("begun\nthe disk is on fire\n\n")
    for _ in range(2):
        failed.attempts.count("exit code 1")
    return folders


def status_record(origin: dict[str, str]) -> str:
    """A record as a trial writes it."""
    from benchmarks.core.record import Metric, Record

    record = Record("toy", {"score": Metric(1.0, "%")}, {"data": "toy"}, subject={"trial": origin})
    return record.to_json()


def test_while_nobody_runs_it(folders: dict[str, TrialFolder]) -> None:
    now = status.snapshot(Path("out"))
    assert now.runner is None and now.seconds_left is None
    assert [job.name for job in now.of("done")] == ["strong/seed_0"]
    (failed,) = now.of("failed")
    assert (failed.name, failed.failures) == ("weak/seed_1", 2)
    assert failed.last_line == "the disk is on fire"
    words = "out: 1 done, 0 running, 4 waiting, 1 FAILED · run by nobody"
    assert now.headline == words
    out = io.StringIO()
    Console(file=out, width=200).print(status.screen(now))
    assert "weak/seed_0 (stopped at 50%)" in out.getvalue()
    assert "FAILED 2 × the disk is on fire" in " ".join(out.getvalue().split())


def test_of_a_run_on_another_machine(
    folders: dict[str, TrialFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks of a process that cannot be looked up count while it beats, for a little afterwards."""
    monkeypatch.setattr(lock_owner, "BEAT_SECONDS", 1.0)
    command = [sys.executable, "-c", ELSEWHERE, "out", "out/weak/seed_0"]
    environment = os.environ | import_path()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:
        assert other.stdout.readline() == "held\n"
        now = status.snapshot(Path("out"))
        (running,) = now.of("running")
        assert (running.name, running.host) == ("weak/seed_0", "node2")
        assert (running.fraction, running.seconds_left) == (0.5, 45.0)
        assert now.runner.pid == other.pid and "left" in now.headline
        # A trained trial takes 100 s, as one did and the other expects: four more and a half.
        assert 200 < now.seconds_left < 500
        other.kill()
    now = status.snapshot(Path("out"))
    assert now.runner is None and not now.of("running")


def test_the_command_in_all_forms(
    folders: dict[str, TrialFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    with exclusive(Path("out/weak/seed_0"), "trial", wait_s=0):
        assert main(["compare", "status", "out", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["counts"] == {"running": 1, "failed": 1, "waiting": 3, "done": 1}
    assert {job["name"] for job in content["jobs"]} == set(folders)
    assert main(["compare", "status", "out", "--line"]) == 0
    assert capsys.readouterr().out.startswith("out: 1 done, 0 running, 4 waiting, 1 FAILED")
    assert main(["compare", "status", "elsewhere"]) == 2
    message = "compare status: elsewhere: holds no comparison; give the folder of one"
    assert message in capsys.readouterr().err


def test_watching_ends_when_nothing_is_left_to_wait_for(
    folders: dict[str, TrialFolder], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, folder in folders.items():
        if name not in ("strong/seed_0", "weak/seed_1"):
            (folder.path / "trial.json").unlink()
    assert main(["compare", "status", "out", "--watch", "--line"]) == 0
    assert (
        capsys.readouterr().out == "out: 1 done, 0 running, 0 waiting, 1 FAILED · run by nobody\n"
    )
