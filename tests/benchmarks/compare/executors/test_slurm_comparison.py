"""Whole comparisons and a real training on a real cluster, killed and pre-empted on the way."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks.compare.budget import with_samples
from benchmarks.compare.configs import write_config
from benchmarks.compare.executors import Local, make_executor
from benchmarks.compare.executors.base import Executor, Failure, Job, Status, Watch
from benchmarks.compare.executors.slurm import Slurm
from benchmarks.compare.jobs import job_environment
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from benchmarks.compare.trial_folder import TRAINER
from pretrain.files import read_dict
from tests.benchmarks.compare.executors.slurm_cluster import Cluster

STEPS = 100  # of the real training, a few seconds
ROOT = Path(__file__).resolve().parents[4]
Toy = Callable[..., Path]
CONTROLLER = """
import sys
from benchmarks.compare.executors import make_executor
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
executor = make_executor("slurm", {"poll_seconds": 1})
options = Options(executor=executor, trainer=sys.argv[2:])
run_comparison(load_plan(sys.argv[1], "out"), options)
"""


def run(
    path: Path, trainer: tuple[str, ...], executor: Executor, *, folder: str = "out"
) -> tuple[int, str, dict[str, Any]]:
    """Runs a comparison; returns exit code, what was printed, and the table."""
    out = io.StringIO()
    console = Console(file=out, width=200)
    options = Options(executor=executor, trainer=trainer, console=console)
    code = run_comparison(load_plan(path, folder), options)
    return code, out.getvalue(), json.loads(Path(folder, "table.json").read_text())


def slurm() -> Executor:
    return make_executor("slurm", {"poll_seconds": 1})


def calls(folder: Path) -> list[str]:
    """Arms and seeds that the trainer was called for, in alphabetical order."""
    lines = (folder / "calls.txt").read_text().splitlines()
    return sorted("/".join(Path(line.split()[0]).parts[-3:-1]) for line in lines)


def scores(table: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What a table says, times left out."""
    return [(row["arm"], row["toy.score"], row["samples"]) for row in table["rows"]]


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    while not condition():
        time.sleep(0.05)


def test_killed_and_run_again_nothing_runs_twice_and_the_table_is_that_of_one_machine(
    cluster: Cluster, toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy("seeds = (0,)")
    (tmp_path / "slow.txt").write_text("0.4")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]]),
    }
    controller = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, str(path), *trainer],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    steps = [Path("out", arm, "seed_0/pretrain/step.json") for arm in ("weak", "strong")]
    wait_for(lambda: all(step.exists() for step in steps))
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    assert len(cluster.jobs()) >= 2
    code, _, table = run(path, trainer, slurm())
    assert code == 0 and calls(tmp_path) == ["strong/seed_0", "weak/seed_0"]
    (tmp_path / "slow.txt").unlink()
    _, _, expected = run(path, trainer, Local(jobs=2, gpus=0), folder="local")
    assert scores(table) == scores(expected)


def test_a_worker_that_is_killed_is_tried_again_and_goes_on(
    cluster: Cluster, toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy("seeds = (0,)\ndel arms['untrained'], arms['strong']")
    (tmp_path / "slow.txt").write_text("0.2")
    killer = threading.Thread(target=kill_trial, args=(tmp_path,))
    killer.start()
    seen: list[str] = []

    class Counting(Slurm):
        """Notes the reasons of failures."""

        def run(self, jobs: Sequence[Job], watch: Watch) -> list[Failure]:
            failures = super().run(jobs, watch)
            seen.extend(failure.reason for failure in failures)
            return failures

    code, _, table = run(path, trainer, Counting(poll_seconds=1))
    killer.join()
    assert code == 0 and scores(table) == [("weak", 2.0, 80)]
    (reason,) = seen
    assert reason.startswith("exit code 137 on node")
    assert calls(tmp_path) == ["weak/seed_0"] * 2


def kill_trial(folder: Path) -> None:
    """Kills the process of the trial, once it trains, as the system does that lacks memory."""
    wait_for(lambda: (folder / "out/weak/seed_0/pretrain/step.json").exists())
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = entry.read_bytes().decode()
            if "benchmarks.compare.trial" in command and str(folder) in os.readlink(
                entry.parent / "cwd"
            ):
                os.kill(int(entry.parent.name), signal.SIGKILL)


def test_a_real_training_that_is_interrupted_equals_one_that_is_not(
    cluster: Cluster, toy: Toy
) -> None:
    """By the signal that comes before the time limit; bit for bit."""
    config = dict(load_plan(toy(), "out").recipes["weak"])
    config = with_samples(config, 8 * STEPS)
    jobs = []
    for name in ("whole", "interrupted"):
        write_config(config, Path(name, "config.py"), header="test")
        command = [*TRAINER, f"{name}/config.py", "--work-dir", name, "--resume", "auto"]
        jobs.append(Job(name, command, Path(name), job_environment()))
    reached: list[int] = []

    def watch(status: Status) -> None:
        step = read_dict(Path("interrupted/progress.json")).get("step", 0)
        if step and not reached:
            reached.append(step)
            (number,) = [number for number in cluster.jobs() if number.endswith("_1")]
            cluster.run("scancel", "--signal=USR2", number)
            cluster.start_requeued()

    assert slurm().run(jobs, watch) == [] and 0 < reached[0] < STEPS
    assert "pre-empted, a checkpoint is written" in Path("interrupted/log.txt").read_text()
    weights = [torch.load(Path(job.name, "final.pth"), weights_only=True) for job in jobs]
    whole, interrupted = [content["state_dict"] for content in weights]
    assert whole.keys() == interrupted.keys()
    assert all(torch.equal(value, interrupted[key]) for key, value in whole.items())
