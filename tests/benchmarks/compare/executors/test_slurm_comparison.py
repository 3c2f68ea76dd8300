"""Whole comparisons and a real training on a real cluster, killed and pre-empted on the way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from benchmarks.compare.budget import with_samples
from benchmarks.compare.configs import write_config
from benchmarks.compare.executors import Local, make_executor
from benchmarks.compare.executors.base import Executor, Job, Ledger, Status, Watch
from benchmarks.compare.executors.slurm import Slurm
from benchmarks.compare.jobs import job_environment
from benchmarks.compare.names import PlanError
from benchmarks.compare.plan import load_plan
from benchmarks.compare.trial_folder import TRAINER
from pretrain.files import read_dict
from tests.benchmarks.compare.executors.comparisons import (
    calls,
    compare,
    scores,
    start_comparison,
    steps,
)
from tests.benchmarks.compare.executors.counters import wait_for
from tests.benchmarks.compare.executors.slurm_cluster import Cluster

STEPS = 100  # of the real training, a few seconds
Toy = Callable[..., Path]


def slurm() -> Executor:
    return make_executor("slurm", {"poll_seconds": 1})


def test_killed_and_run_again_nothing_runs_twice_and_the_table_is_that_of_one_machine(
    cluster: Cluster, toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy("seeds = (0,)")
    (tmp_path / "slow.txt").write_text("0.4")
    options = {"poll_seconds": 1}
    controller = start_comparison("slurm", options, path=path, trainer=trainer)
    files = steps("weak", "strong")
    wait_for(lambda: all(file.exists() for file in files))
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    left = set(cluster.jobs())
    assert len(left) >= 2
    with pytest.raises(PlanError, match="--redo weak: weak/seed_0 is running"):
        compare(path, trainer, slurm(), redo=["weak"])
    assert set(cluster.jobs()) == left and files[0].exists()
    code, _ = compare(path, trainer, slurm())
    assert code == 0 and calls(tmp_path) == ["strong/seed_0", "weak/seed_0"]
    (tmp_path / "slow.txt").unlink()
    compare(path, trainer, Local(jobs=2, gpus=0), folder="local")
    assert scores() == scores("local")


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

        def carry_out(self, ledger: Ledger, watch: Watch) -> None:
            failed = ledger.failed
            ledger.failed = lambda job, why, **how: (seen.append(why), failed(job, why, **how))
            super().carry_out(ledger, watch)

    code, _ = compare(path, trainer, Counting(poll_seconds=1))
    killer.join()
    assert code == 0 and scores() == [("weak", 2.0, 80)]
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
