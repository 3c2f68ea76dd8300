"""The Ray executor on a real cluster of two nodes and on a Ray of its own."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.compare.executors import Local, make_executor
from benchmarks.compare.executors.base import Executor, Failure, Job, Resources, Status
from benchmarks.compare.executors.ray import Node, Request, _share
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from tests.benchmarks.compare.executors.ray_cluster import Cluster

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install ray"
)
ROOT = Path(__file__).resolve().parents[4]
Toy = Callable[..., Path]
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
    time.sleep(0.05)
    (file.parent / "worker").write_text(str(os.getppid()))
file.write_text(str(step))
sys.exit(0 if step == goal else 143)
"""
CONTROLLER = """
import sys
from pathlib import Path
from benchmarks.compare.executors import make_executor
from benchmarks.compare.executors.base import Job
executor = make_executor("ray", dict(word.split("=") for word in sys.argv[1].split()))
try:
    print(executor.describe(), flush=True)
    print(executor.run([Job("t", sys.argv[2:], Path("work/t"))], lambda status: None))
except KeyboardInterrupt:
    sys.exit(130)
"""
COMPARISON = """
import sys
from benchmarks.compare.executors import make_executor
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
options = Options(executor=make_executor("ray", {"jobs": 2}), trainer=sys.argv[2:])
run_comparison(load_plan(sys.argv[1], "out"), options)
"""


@pytest.fixture(scope="module")
def started_cluster() -> Iterator[Cluster]:
    """The cluster itself, to which this process connects once; tests take :func:`cluster`."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
    ):
        with Cluster(Path(folder)) as cluster:
            for name, value in cluster.variables.items():
                patch.setenv(name, value)
            import ray  # reads those variables once

            handler = signal.getsignal(signal.SIGTERM)
            yield cluster
            ray.shutdown()
            signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def cluster(
    started_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Cluster]:
    """A cluster of two nodes with two cores each."""
    monkeypatch.chdir(tmp_path)
    return started_cluster


def job(name: str, code: str, arguments: Sequence[str] = (), **values: Any) -> Job:
    """A job that runs a line of Python in a folder of its own."""
    command = [sys.executable, "-S", "-c", code, *arguments]
    return Job(name, command, Path("work", name), **values)


def counter(goal: int = 40, **values: Any) -> Job:
    """A job of ``goal`` twentieths of a second that goes on where it was stopped."""
    return job("t", COUNTER, ["work/t/step", str(goal)], **values)


def executor(cluster: Cluster, **options: Any) -> Executor:
    """The executor on the cluster, with short breaks between two looks."""
    return make_executor("ray", {"address": cluster.address, "poll_seconds": 0.1, **options})


def run(
    cluster: Cluster,
    tasks: Sequence[Job],
    watch: Callable[[Status], None] = lambda status: None,
    **options: Any,
) -> list[Failure]:
    """Runs jobs on the cluster."""
    return executor(cluster, **options).run(tasks, watch)


class Once:
    """Calls a function with the process id of a counter's Ray worker, once, when it counts."""

    def __init__(self, action: Callable[[int], None]) -> None:
        self._action, self.is_done = action, False

    def __call__(self, status: Status) -> None:
        note = Path("work/t/worker")
        if not self.is_done and note.exists() and note.read_text():
            self.is_done = True
            self._action(worker_of(int(note.read_text())))


def parent(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_of(pid: int) -> int:
    """The Ray worker that started a command, through two processes that watch over it."""
    while "end_with_parent" in Path(f"/proc/{parent(pid)}/cmdline").read_text():
        pid = parent(pid)
    return parent(pid)


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    while not condition():
        time.sleep(0.05)


def running(folder: Path) -> dict[int, str]:
    """The commands of all processes that work in a folder, this one left out."""
    commands = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if int(entry.name) != os.getpid() and os.readlink(entry / "cwd") == str(folder):
                commands[int(entry.name)] = (entry / "cmdline").read_text()
    return commands


def test_jobs_run_with_what_they_ask_for_and_never_more_at_once_than_fit(cluster: Cluster) -> None:
    code = (
        "import os, time; t = time.time(); time.sleep(0.6); v = os.environ; "
        "print(t, time.time(), v['A'], v['OMP_NUM_THREADS'], v['CUDA_VISIBLE_DEVICES'] + '.')"
    )
    asked = Resources(cpus=2, gpus=1, memory_gb=0.1)
    jobs = [job(f"t{i}", code, environment={"A": "b"}, resources=asked) for i in range(4)]
    seen: list[Status] = []
    assert executor(cluster).describe() == "4 at once on Ray (2 nodes, 4 cores, 0 GPUs)"
    assert run(cluster, jobs, seen.append) == []
    lines = [Path("work", f"t{i}", "log.txt").read_text().split() for i in range(4)]
    spans = [(float(line[0]), float(line[1])) for line in lines]
    together = [sum(a <= begin < b for a, b in spans) for begin, _ in spans]
    assert max(together) <= 2
    assert {tuple(line[2:]) for line in lines} <= {("b", "1", "."), ("b", "2", ".")}
    assert list(seen[0].waiting) == ["t0", "t1", "t2", "t3"]
    assert max(len(status.running) for status in seen) <= 2
    assert set(seen[-1].done) == {"t0", "t1", "t2", "t3"} and not seen[-1].running


def test_at_most_so_many_run_at_once_in_order(cluster: Cluster) -> None:
    jobs = [job(f"t{i}", "import time; time.sleep(0.3)") for i in range(3)]
    seen: list[Status] = []
    assert run(cluster, jobs, seen.append, jobs=1) == []
    assert max(len(status.running) for status in seen) == 1 and list(seen[-1].done) == [
        "t0",
        "t1",
        "t2",
    ]


def test_failures_have_a_reason_and_a_log_and_stop_no_other(cluster: Cluster) -> None:
    jobs = [
        job("bad", "print('the disk is on fire'); raise SystemExit(3)"),
        job("killed", "import os; os.kill(os.getpid(), 9)"),
        Job("absent", ["/no/such/program"], Path("work/absent")),
        job("good", "print('fine')"),
    ]
    seen: list[Status] = []
    failures = run(cluster, jobs, seen.append)
    reasons = {failure.name: failure.reason for failure in failures}
    host = os.uname().nodename
    assert reasons["bad"] == f"exit code 3 on {host}"
    assert reasons["killed"] == f"exit code 137 on {host}"
    assert reasons["absent"] == f"exit code 1 on {host}"
    logs = {failure.name: failure.tail(99) for failure in failures}
    assert logs["bad"] == "the disk is on fire" and "/no/such/program" in logs["absent"]
    assert Path("work/good/log.txt").read_text() == "fine\n"
    assert set(seen[-1].done) == {"good"} and list(seen[-1].failures) == failures


def test_what_no_node_has_is_refused_before_anything_runs(cluster: Cluster) -> None:
    for needs, words in (
        (dict(cpus=3), "cpus=3"),
        (dict(memory_gb=9999.0), "cpus=1, gpus=0, memory_gb=9999"),
    ):
        jobs = [job("t", ""), job("u", "", resources=Resources(**needs))]
        with pytest.raises(ValueError, match=f"u needs {words}.*; no node of this Ray has as much"):
            run(cluster, jobs)
    assert not Path("work").exists()


def test_a_job_whose_worker_is_killed_goes_on(cluster: Cluster) -> None:
    once = Once(lambda pid: os.kill(pid, signal.SIGKILL))
    assert run(cluster, [counter()], once) == [] and once.is_done
    # The first may still be ending when the second starts: trials wait for each other's locks.
    assert len(Path("work/t/log.txt").read_text().splitlines()) == 2
    assert Path("work/t/step").read_text() == "40"


def test_a_job_that_has_lost_all_its_workers_is_a_failure(cluster: Cluster, tmp_path: Path) -> None:
    once = Once(lambda pid: os.kill(pid, signal.SIGKILL))
    (failure,) = run(cluster, [counter(1000)], once, attempts=1)
    assert failure.reason.startswith("lost its worker or node 1 times: The worker died")
    wait_for(lambda: not running(tmp_path))  # nothing goes on without a worker


def test_a_job_whose_node_dies_goes_on_elsewhere(cluster: Cluster) -> None:
    # Two jobs with all cores of a node: one of them is on the second.
    whole = Resources(cpus=2)
    other = job("u", "import time; time.sleep(2)", resources=whole)
    once = Once(lambda pid: cluster.kill_node())
    try:
        assert run(cluster, [counter(resources=whole), other], once) == [] and once.is_done
    finally:
        cluster.start_node()
    assert Path("work/t/step").read_text() == "40"


def start_controller(cluster: Cluster, address: str) -> subprocess.Popen:
    """Runs a counter by an executor in a process of its own, until it counts."""
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, f"address={address}", *counter(1000).command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not Path("work/t/worker").exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_executor_ends_its_jobs_in_order(
    cluster: Cluster, number: int, tmp_path: Path
) -> None:
    controller = start_controller(cluster, cluster.address)
    controller.send_signal(number)
    assert controller.wait() == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    wait_for(lambda: not running(tmp_path))
    step = Path("work/t/step")
    if number != signal.SIGKILL:
        assert 0 < int(step.read_text()) < 1000
    elif step.exists():  # Ray cleans up after a lost controller, at times faster than our SIGTERM
        assert int(step.read_text()) < 1000


def scores(folder: str) -> list[tuple[Any, ...]]:
    """What a comparison's table says, times left out."""
    table = json.loads(Path(folder, "table.json").read_text())
    return [(row["arm"], row["toy.score"], row["samples"]) for row in table["rows"]]


def compare(path: Path, trainer: Sequence[str], chosen: Executor, folder: str = "out") -> int:
    """Runs a comparison."""
    options = Options(executor=chosen, trainer=trainer, console=Console(file=io.StringIO()))
    return run_comparison(load_plan(path, folder), options)


def test_killed_on_a_ray_of_its_own_it_goes_on_and_the_table_is_that_of_processes(
    cluster: Cluster, toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy("seeds = (0,)")
    (tmp_path / "slow.txt").write_text("2")
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    controller = subprocess.Popen(
        [sys.executable, "-c", COMPARISON, str(path), *trainer],
        env={**own, "PYTHONPATH": paths, "HOME": str(tmp_path)},  # Ray keeps a token there
        stdout=subprocess.DEVNULL,
    )
    steps = [Path("out", arm, "seed_0/pretrain/step.json") for arm in ("weak", "strong")]
    wait_for(lambda: any(step.exists() and step.read_text() > "1" for step in steps))
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    wait_for(lambda: not running(tmp_path))
    assert not any(step.with_name("final.pth").exists() for step in steps)
    (tmp_path / "slow.txt").write_text("0.5")

    def kill_worker(status: Status) -> None:
        """Kills the Ray worker of a trial that trains, once."""
        for pid, command in {} if killed else running(tmp_path).items():
            if "end_with_parent" in command and f"{steps[1].parents[1]}" in command:
                killed.append(pid)
                os.kill(worker_of(pid), signal.SIGKILL)
                return

    killed: list[int] = []
    chosen = executor(cluster)
    inner = chosen.run
    chosen.run = lambda jobs, watch: inner(jobs, lambda s: (kill_worker(s), watch(s)))
    assert compare(path, trainer, chosen) == 0 and killed
    (tmp_path / "slow.txt").unlink()
    assert compare(path, trainer, Local(jobs=2, gpus=0), "local") == 0
    assert scores("out") == scores("local") and len(scores("out")) == 3


def test_cores_are_shared_among_as_many_jobs_as_run_at_once() -> None:
    two = [Node(8, 2, 0), Node(4, 1, 0)]
    assert _share(two, Request(1, 1), None) == 4  # a job per GPU
    assert _share([Node(8, 0, 0)], Request(1, 0), None) == 1  # a job per core
    assert _share([Node(3, 0, 0), Node(3, 0, 0)], Request(1, 0), 4) == 1
    assert _share([Node(3, 0, 0), Node(3, 0, 0)], Request(1, 0), 2) == 3
    assert _share([Node(2, 0, 0)], Request(1, 0), 9) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"jobs": 0}, "jobs=0: must be at least 1"),
        ({"attempts": 0}, "attempts=0: must be at least 1"),
        ({"adress": "auto"}, "did you mean 'address'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_executor("ray", options)


def test_without_the_package_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"executor 'ray' needs ray: pip install '.\[ray\]'"):
        make_executor("ray", {})
