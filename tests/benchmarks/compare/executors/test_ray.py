"""The Ray executor on a real cluster of two nodes and on a Ray of its own."""

from __future__ import annotations

import importlib.util
import os
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare.executors import Local, make_executor
from benchmarks.compare.executors.base import Executor, Failure, Job, Resources, Status
from benchmarks.compare.executors.ray import Node, Request, _share
from tests.benchmarks.compare.executors.comparisons import compare, scores, start_comparison, steps
from tests.benchmarks.compare.executors.counters import (
    Once,
    counted,
    counter,
    job,
    start_controller,
    wait_for,
)
from tests.benchmarks.compare.executors.ray_cluster import Cluster

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install ray"
)
Toy = Callable[..., Path]


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


def executor(cluster: Cluster, **options: Any) -> Executor:
    """The executor on the cluster, with short breaks between two looks."""
    return make_executor("ray", {"address": cluster.address, "poll_seconds": 0.1, **options})


def run(
    cluster: Cluster,
    tasks: Sequence[Job],
    watch: Callable[[Status], None] = lambda status: None,
    *,
    attempts: int = 1,
    **options: Any,
) -> list[Failure]:
    """Runs jobs on the cluster."""
    return executor(cluster, **options).run(tasks, watch, attempts=attempts)


def parent(pid: int) -> int:
    """The process that started this one."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_of(pid: int) -> int:
    """The Ray worker that started a command, through two processes that watch over it."""
    while "end_with_parent" in Path(f"/proc/{parent(pid)}/cmdline").read_text():
        pid = parent(pid)
    return parent(pid)


def kill_worker_of(pid: int) -> None:
    """Kills the Ray worker above a process."""
    os.kill(worker_of(pid), signal.SIGKILL)


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
    once = Once(kill_worker_of)
    assert run(cluster, [counter()], once, attempts=2) == [] and once.is_done
    # The first may still be ending when the second starts: trials wait for each other's locks.
    assert len(Path("work/t/log.txt").read_text().splitlines()) == 2
    assert counted() == 40


def test_lost_workers_count_as_failures(cluster: Cluster, tmp_path: Path) -> None:
    once = Once(kill_worker_of)
    (failure,) = run(cluster, [counter(1000)], once)
    assert failure.reason.startswith("lost its worker or node: The worker died")
    assert counter().attempts.failed == 1
    wait_for(lambda: not running(tmp_path))  # nothing goes on without a worker


def test_a_job_is_stopped_after_its_hours(cluster: Cluster) -> None:
    late = counter(1000, resources=Resources(hours=1 / 3600))
    (failure,) = run(cluster, [late])
    assert failure.reason == f"stopped after resources.hours={1 / 3600:g}"
    assert 0 < counted() < 1000  # it had the time to write how far it was


def test_a_job_whose_node_dies_goes_on_elsewhere(cluster: Cluster) -> None:
    # Two jobs with all cores of a node: one of them is on the second.
    whole = Resources(cpus=2)
    other = job("u", "import time; time.sleep(2)", resources=whole)
    once = Once(lambda pid: cluster.kill_node())
    try:
        jobs = [counter(resources=whole), other]
        assert run(cluster, jobs, once, attempts=2) == [] and once.is_done
    finally:
        cluster.start_node()
    assert counted() == 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_executor_ends_its_jobs_in_order(
    cluster: Cluster, number: int, tmp_path: Path
) -> None:
    controller = start_controller("ray", {"address": cluster.address})
    controller.send_signal(number)
    assert controller.wait() == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    wait_for(lambda: not running(tmp_path))
    step = Path("work/t/step")
    if number != signal.SIGKILL:
        assert 0 < counted() < 1000
    elif step.exists():  # Ray cleans up after a lost controller, at times faster than our SIGTERM
        assert counted() < 1000


def test_killed_on_a_ray_of_its_own_it_goes_on_and_the_table_is_that_of_processes(
    cluster: Cluster, toy: Toy, trainer: tuple[str, ...], tmp_path: Path
) -> None:
    path = toy("seeds = (0,)")
    (tmp_path / "slow.txt").write_text("2")
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    own["HOME"] = str(tmp_path)  # Ray keeps a token there
    options = {"jobs": 2}
    controller = start_comparison("ray", options, path=path, trainer=trainer, variables=own)
    files = steps("weak", "strong")
    wait_for(lambda: any(file.exists() and file.read_text() > "1" for file in files))
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    wait_for(lambda: not running(tmp_path))
    assert not any(file.with_name("final.pth").exists() for file in files)
    (tmp_path / "slow.txt").write_text("0.5")

    def kill_worker(status: Status) -> None:
        """Kills the Ray worker of a trial that trains, once."""
        for pid, command in {} if killed else running(tmp_path).items():
            if "end_with_parent" in command and f"{files[1].parents[1]}" in command:
                killed.append(pid)
                os.kill(worker_of(pid), signal.SIGKILL)
                return

    killed: list[int] = []
    chosen = executor(cluster)
    inner = chosen.carry_out
    chosen.carry_out = lambda ledger, watch: inner(ledger, lambda s: (kill_worker(s), watch(s)))
    assert compare(path, trainer, chosen)[0] == 0 and killed
    (tmp_path / "slow.txt").unlink()
    assert compare(path, trainer, Local(jobs=2, gpus=0), folder="local")[0] == 0
    assert scores() == scores("local") and len(scores()) == 3


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
