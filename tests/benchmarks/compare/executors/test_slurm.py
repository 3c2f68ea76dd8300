"""The SLURM executor on a real cluster of two nodes, which is started for these tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks.compare.executors import make_executor
from benchmarks.compare.executors.base import Failure, Job, Resources, Status
from tests.benchmarks.compare.executors.slurm_cluster import Cluster

ROOT = Path(__file__).resolve().parents[4]
# Counts steps up to the number in its second argument; stopped, it writes how far it is.
COUNTER = """
import os, signal, sys, time
from pathlib import Path
file, goal = Path(sys.argv[1]), int(sys.argv[2])
step = int(file.read_text()) if file.exists() else 0
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("from step", step, flush=True)
while step < goal and not stop:
    step += 1
    time.sleep(0.1)
    (file.parent / "running").write_text(str(step))
file.write_text(str(step))
sys.exit(0 if step == goal else 143)
"""


def job(name: str, code: str, arguments: Sequence[str] = (), **values: object) -> Job:
    """A job that runs a line of Python in a folder of its own."""
    command = [sys.executable, "-S", "-c", code, *arguments]
    return Job(name, command, Path("work", name), **values)


def counter(name: str, goal: int = 20) -> Job:
    """A job of ``goal`` tenths of a second that goes on where it was stopped."""
    return job(name, COUNTER, [f"work/{name}/step", str(goal)])


def run(
    tasks: Sequence[Job], watch: Callable[[Status], None] = lambda status: None, **options: object
) -> list[Failure]:
    """Runs jobs with short breaks between two questions to SLURM."""
    return make_executor("slurm", {"poll_seconds": 1, **options}).run(tasks, watch)


class Once:
    """Calls a function when a job has counted its first steps, and never again."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self._file, self._action, self.is_done = Path("work", name, "running"), action, False

    def __call__(self, status: Status) -> None:
        if not self.is_done and self._file.exists():
            self.is_done = True
            self._action()


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
        counter("cancelled", 600),
        job("good", "print('fine')"),
    ]
    seen: list[Status] = []

    def cancel() -> None:
        cluster.run("scancel", *[number for number in cluster.jobs() if number.endswith("_3")])

    once = Once("cancelled", cancel)
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
    def warn() -> None:
        cluster.run("scancel", "--signal=USR2", *cluster.jobs())
        cluster.start_requeued()

    once = Once("t", warn)
    assert run([counter("t")], once) == [] and once.is_done
    assert Path("work/t/step").read_text() == "20"
    first, second, third = Path("work/t/log.txt").read_text().splitlines()
    assert first == "from step 0" and "goes back to the queue" in second
    assert 0 < int(third.removeprefix("from step ")) < 20
    assert "Restarts=1" in cluster.run("scontrol", "show", "job")


def test_a_job_that_has_no_restart_left_is_a_failure(cluster: Cluster) -> None:
    once = Once("t", lambda: cluster.run("scancel", "--signal=USR2", *cluster.jobs()))
    (failure,) = run([counter("t", 600)], once, restarts=0)
    assert failure.reason.startswith("exit code 124 on node")
    assert failure.tail(1) == "SLURM: out of time, after 0 restarts."


def test_a_pre_empted_job_goes_on_when_the_other_has_ended(cluster: Cluster) -> None:
    def preempt() -> None:
        urgent = ["--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 0.5"]
        cluster.run("sbatch", *urgent)
        cluster.start_requeued()

    once = Once("t", preempt)
    assert run([counter("t")], once) == [] and once.is_done
    first, second = Path("work/t/log.txt").read_text().splitlines()
    assert first == "from step 0" and 0 < int(second.removeprefix("from step ")) < 20


def test_a_lost_node_starts_its_jobs_elsewhere(cluster: Cluster) -> None:
    def lose() -> None:
        node = cluster.run("squeue", "--noheader", "--format=%N").strip()
        lost.append(node)
        cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        cluster.start_requeued()

    lost: list[str] = []
    assert run([counter("t", 10)], Once("t", lose)) == []
    cluster.run("scontrol", "update", f"nodename={lost[0]}", "state=resume")
    assert Path("work/t/step").read_text() == "10"


CONTROLLER = """
import sys
from pathlib import Path
from benchmarks.compare.executors import make_executor
from benchmarks.compare.executors.base import Job
executor = make_executor("slurm", {"poll_seconds": 1, "detach": sys.argv[1] == "detach"})
try:
    executor.run([Job("t", sys.argv[2:], Path("work/t"))], lambda status: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def start_controller(goal: int, mode: str) -> subprocess.Popen:
    """Runs a counter by an executor in a process of its own, until it counts."""
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, mode, *counter("t", goal).command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not Path("work/t/running").exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_the_executor_ends_its_jobs_in_order(cluster: Cluster, number: int) -> None:
    controller = start_controller(600, "")
    controller.send_signal(number)
    assert controller.wait() == 130
    assert cluster.jobs() == [] and 0 < int(Path("work/t/step").read_text()) < 600


@pytest.mark.parametrize("mode", ["detach", "kill"])
def test_a_run_finds_the_jobs_that_an_earlier_one_has_left(cluster: Cluster, mode: str) -> None:
    controller = start_controller(40, mode)
    controller.send_signal(signal.SIGKILL if mode == "kill" else signal.SIGINT)
    controller.wait()
    (number,) = cluster.jobs()
    numbers: set[str] = set()
    seen: list[Status] = []

    def watch(status: Status) -> None:
        numbers.update(cluster.jobs())
        seen.append(status)

    assert run([counter("t", 40)], watch) == []
    assert numbers == {number} and list(seen[0].running) == ["t"]
    assert Path("work/t/log.txt").read_text() == "from step 0\n"
