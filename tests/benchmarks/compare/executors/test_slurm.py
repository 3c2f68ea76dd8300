"""The SLURM executor on a real cluster of two nodes, which is started for these tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.compare.executors import make_executor
from benchmarks.compare.executors.base import Failure, Job, Resources, Status
from benchmarks.compare.executors.slurm import Slurm
from benchmarks.compare.executors.slurm_node import Place
from tests.benchmarks.compare.executors.counters import (
    Once,
    counted,
    counter,
    job,
    start_controller,
)
from tests.benchmarks.compare.executors.slurm_cluster import Cluster


def run(
    tasks: Sequence[Job], watch: Callable[[Status], None] = lambda status: None, **options: object
) -> list[Failure]:
    """Runs jobs with short breaks between two questions to SLURM."""
    return make_executor("slurm", {"poll_seconds": 1, **options}).run(tasks, watch)


def test_jobs_run_on_both_nodes_with_what_they_ask_for(cluster: Cluster) -> None:
    code = (
        "import os, time; v = os.environ; time.sleep(1.5); "
        "print(v['SLURMD_NODENAME'], v['A'], v['OMP_NUM_THREADS'], v['SLURM_ARRAY_JOB_ID'])"
    )
    asked = Resources(cpus=3, memory_gb=0.5, hours=0.25)
    jobs = [job(f"t{i}", code, environment={"A": "b"}, resources=asked) for i in range(2)]
    seen: list[str] = []

    def watch(status: Status) -> None:
        if status.running and not seen:
            seen.append(cluster.run("scontrol", "show", "job", cluster.jobs()[0]))
        if status.waiting:
            assert list(status.waiting) == ["t0", "t1"]

    options = dict(jobs=2, partition="all", sbatch="--comment=hello --nice=7")
    assert run(jobs, watch, **options) == []
    lines = [Path("work", f"t{i}", "log.txt").read_text().split() for i in range(2)]
    assert {line[0] for line in lines} == {"node1", "node2"}  # 3 of 4 cores each
    assert {line[1] for line in lines} == {"b"} and len({line[3] for line in lines}) == 1
    assert {line[2] for line in lines} <= {"1", "2", "3"}
    (shown,) = seen
    for words in ("NumCPUs=3", "mem=512M", "TimeLimit=00:15:00", "Partition=all", "Nice=7"):
        assert words in shown
    assert "Comment=hello" in shown and "Requeue=1" in shown


def test_at_most_so_many_run_at_once(cluster: Cluster) -> None:
    running: list[int] = []
    jobs = [job(f"t{i}", "import time; time.sleep(0.5)") for i in range(3)]
    assert run(jobs, lambda status: running.append(len(status.running)), jobs=1) == []
    assert max(running) == 1
    assert "ArrayTaskThrottle=1" in cluster.run("scontrol", "show", "job")


def test_failures_have_a_reason_and_a_log_and_stop_no_other(cluster: Cluster) -> None:
    jobs = [
        job("bad", "print('the disk is on fire'); raise SystemExit(3)"),
        job("killed", "import os; os.kill(os.getpid(), 9)"),
        Job("absent", ["/no/such/program"], Path("work/absent")),
        counter(1000, "cancelled"),
        job("good", "print('fine')"),
    ]
    seen: list[Status] = []

    def cancel(pid: int) -> None:
        cluster.run("scancel", *[number for number in cluster.jobs() if number.endswith("_3")])

    once = Once(cancel, "cancelled")
    failures = run(jobs, lambda status: (seen.append(status), once(status)))
    reasons = {failure.name: failure.reason for failure in failures}
    assert reasons["bad"].startswith("exit code 3 on node")
    assert reasons["killed"].startswith("exit code 137 on node")
    assert reasons["absent"].startswith("exit code 1 on node")
    assert reasons["cancelled"].startswith("CANCELLED on node")
    logs = {failure.name: failure.tail(99) for failure in failures}
    assert (
        logs["bad"] == "the disk is on fire" and Path("work/good/log.txt").read_text() == "fine\n"
    )
    assert "/no/such/program" in logs["absent"] and "SLURM's own output" in logs["absent"]
    assert set(seen[-1].done) == {"good"} and list(seen[-1].failures) == failures
    assert not seen[-1].waiting and not seen[-1].running


def test_what_sbatch_refuses_is_an_error_and_leaves_no_job(cluster: Cluster) -> None:
    jobs = [job("t", ""), job("u", "", resources=Resources(memory_gb=500))]
    with pytest.raises(ValueError, match="sbatch refuses the jobs: .*not available"):
        run(jobs)
    assert cluster.jobs() == []


def test_near_its_time_limit_a_job_is_requeued_and_goes_on(cluster: Cluster) -> None:
    def warn(pid: int) -> None:
        cluster.run("scancel", "--signal=USR2", *cluster.jobs())
        cluster.start_requeued()

    once = Once(warn)
    assert run([counter(100)], once) == [] and once.is_done
    assert counted() == 100
    first, second, third = Path("work/t/log.txt").read_text().splitlines()
    assert first == "from step 0" and "goes back to the queue" in second
    assert 0 < int(third.removeprefix("from step ")) < 100
    assert "Restarts=1" in cluster.run("scontrol", "show", "job")


def test_a_job_that_has_no_restart_left_is_a_failure(cluster: Cluster) -> None:
    once = Once(lambda pid: cluster.run("scancel", "--signal=USR2", *cluster.jobs()))
    (failure,) = run([counter(1000)], once, restarts=0)
    assert failure.reason.startswith("exit code 124 on node")
    assert failure.tail(1) == "SLURM: out of time, after 0 restarts."


def test_a_pre_empted_job_goes_on_when_the_other_has_ended(cluster: Cluster) -> None:
    def preempt(pid: int) -> None:
        urgent = ["--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 0.5"]
        cluster.run("sbatch", *urgent)
        cluster.start_requeued()

    once = Once(preempt)
    assert run([counter(100)], once) == [] and once.is_done
    first, second = Path("work/t/log.txt").read_text().splitlines()
    assert first == "from step 0" and 0 < int(second.removeprefix("from step ")) < 100


def test_a_lost_node_starts_its_jobs_elsewhere(cluster: Cluster) -> None:
    def lose(pid: int) -> None:
        node = cluster.run("squeue", "--noheader", "--format=%N").strip()
        lost.append(node)
        cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        cluster.start_requeued()

    lost: list[str] = []
    assert run([counter(20)], Once(lose)) == []
    cluster.run("scontrol", "update", f"nodename={lost[0]}", "state=resume")
    assert counted() == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_the_executor_ends_its_jobs_in_order(cluster: Cluster, number: int) -> None:
    controller = start_controller("slurm", {"poll_seconds": 1})
    controller.send_signal(number)
    assert controller.wait() == 130
    assert cluster.jobs() == [] and 0 < counted() < 1000


@pytest.mark.parametrize("mode", ["detach", "kill"])
def test_a_run_finds_the_jobs_that_an_earlier_one_has_left(cluster: Cluster, mode: str) -> None:
    options = {"poll_seconds": 1, "detach": mode == "detach"}
    controller = start_controller("slurm", options, goal=80)
    controller.send_signal(signal.SIGKILL if mode == "kill" else signal.SIGINT)
    controller.wait()
    (number,) = cluster.jobs()
    left = f"as job {number} of SLURM (RUNNING): end it by scancel {number}"
    assert Slurm.left_behind(Path("work/t")) == left
    numbers: set[str] = set()
    seen: list[Status] = []

    def watch(status: Status) -> None:
        numbers.update(cluster.jobs())
        seen.append(status)

    assert run([counter(80)], watch) == []
    assert numbers == {number} and list(seen[0].running) == ["t"]
    assert Path("work/t/log.txt").read_text() == "from step 0\n"
    assert Slurm.left_behind(Path("work/t")) == ""


def test_a_failure_that_nobody_saw_counts_once(cluster: Cluster) -> None:
    failing = job("t", "raise SystemExit(3)")
    assert failing.attempts.failed == 0
    Place("array", 0).write(failing.directory, exit_code=3)  # its controller was gone by then
    (failure,) = run([failing])
    assert failure.reason == "exit code 3" and failing.attempts.failed == 1
    (failure,) = run([failing])
    assert failure.reason.startswith("exit code 3 on node") and failing.attempts.failed == 2
