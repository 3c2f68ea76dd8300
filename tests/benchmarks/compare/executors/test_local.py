"""The local executor: how many at once, with how many threads, failures, no child that stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.compare.executors.base import Failure, Job, Resources, Status
from benchmarks.compare.executors.local import Local
from pretrain.threads import usable_cores

STAMP = "import os, sys, time; open(sys.argv[1], 'a').write(f'{time.time()} '); time.sleep(0.4); "
ROOT = Path(__file__).resolve().parents[4]


def job(folder: Path, name: str, code: str, arguments: Sequence[str] = (), **values: object) -> Job:
    """A job that runs a line of Python in a folder of its own."""
    command = [sys.executable, "-S", "-c", code, *arguments]
    return Job(name, command, folder / name, **values)


def run(jobs: Sequence[Job], at_once: int = 1, **options: object) -> list[Failure]:
    """Runs jobs with short breaks between two looks at them."""
    watch = options.pop("watch", lambda status: None)
    return Local(jobs=at_once, poll_seconds=0.02, **{"gpus": 0, **options}).run(jobs, watch)


def test_runs_all_with_at_most_jobs_at_once_and_shares_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = STAMP + "open(sys.argv[1], 'a').write(f'{time.time()} ' + os.environ['OMP_NUM_THREADS'])"
    jobs = [job(tmp_path, f"t{i}", code, [str(tmp_path / f"t{i}.txt")]) for i in range(4)]
    running: list[int] = []
    assert run(jobs, 2, watch=lambda status: running.append(len(status.running))) == []
    spans = [(tmp_path / f"t{i}.txt").read_text().split() for i in range(4)]
    begins, ends = [float(s[0]) for s in spans], [float(s[1]) for s in spans]
    for begin in begins:
        assert sum(b <= begin < e for b, e in zip(begins, ends, strict=True)) <= 2
    assert max(running) == 2 and {s[2] for s in spans} == {str(max(1, usable_cores() // 2))}


def test_the_status_names_jobs_in_all_their_states(tmp_path: Path) -> None:
    jobs = [job(tmp_path, "good", ""), job(tmp_path, "bad", "1/0"), job(tmp_path, "late", "")]
    seen: list[Status] = []
    failures = run(jobs, watch=seen.append)
    assert list(seen[0].waiting) == ["bad", "late"] and list(seen[0].running) == ["good"]
    last = seen[-1]
    assert not last.waiting and not last.running and set(last.done) == {"good", "late"}
    assert list(last.failures) == failures and failures[0].name == "bad"


@pytest.mark.parametrize(("wish", "expected"), [("1", "11"), ("9", "44")])
def test_the_user_may_ask_for_fewer_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, expected: str
) -> None:
    """As on a machine whose cores others use: one thread per core there is many times slower than
    one.
    """
    monkeypatch.setattr("pretrain.threads.usable_cores", lambda: 4)
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'] + "
        "os.environ['MKL_NUM_THREADS'])"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert run([job(tmp_path, "t", code, [str(tmp_path / "t.txt")])]) == []
    assert (tmp_path / "t.txt").read_text() == expected


def test_a_job_gets_the_cores_and_gpus_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("pretrain.threads.usable_cores", lambda: 8)
    two = job(tmp_path, "two", "", resources=Resources(gpus=2, cpus=3))
    none = job(tmp_path, "none", "", environment={"A": "b"}, resources=Resources(gpus=0))
    executor = Local(gpus=4)
    assert executor.at_once == 4
    variables = executor.environment(two, slot=1)
    assert (variables["CUDA_VISIBLE_DEVICES"], variables["OMP_NUM_THREADS"]) == ("2,3", "2")
    assert executor.environment(two, slot=2)["CUDA_VISIBLE_DEVICES"] == "0,1"
    variables = executor.environment(none, slot=0)
    assert (variables["CUDA_VISIBLE_DEVICES"], variables["A"]) == ("", "b")
    assert Local(jobs=1, gpus=0).environment(two, slot=0)["OMP_NUM_THREADS"] == "3"
    with pytest.raises(ValueError, match="two needs gpus=2; this machine gives 1"):
        run([two], gpus=1)


def test_a_failure_stops_no_other_and_brings_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print('\\n'.join(f'line {i}' for i in range(40))); raise SystemExit(7)"
    (failure,) = run([job(tmp_path, "bad", code), job(tmp_path, "good", "print('fine')")])
    assert (failure.name, failure.reason) == ("bad", "exit code 7")
    assert failure.tail().splitlines() == [f"line {i}" for i in range(25, 40)]
    assert (tmp_path / "good" / "log.txt").read_text() == "fine\n"
    assert Failure("x", "", tmp_path / "none.log").tail() == "(no log)"


def test_a_job_that_is_killed_is_a_failure(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    (failure,) = run([job(tmp_path, "bad", code)])
    assert failure.reason == "exit code 137"


def test_a_job_knows_nothing_of_being_watched(tmp_path: Path) -> None:
    """It sees its own arguments and environment, and SIGTERM does what it does elsewhere."""
    code = (
        "import os, signal, sys; print(sys.argv[1:], os.environ['A'], "
        "signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    )
    assert run([job(tmp_path, "t", code, ["-x", "y"], environment={"A": "b"})]) == []
    assert (tmp_path / "t" / "log.txt").read_text() == "['-x', 'y'] b True\n"


CHILD = """
import subprocess, sys, time
process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(2000)"])
open(sys.argv[1], "w").write(f"{process.pid}")
time.sleep(2000)
"""
PARENT = """
import sys
from pathlib import Path
from benchmarks.compare.executors.base import Job
from benchmarks.compare.executors.local import Local
folder = Path(sys.argv[1])
job = Job("t", [sys.executable, "-S", str(folder / "child.py"), str(folder / "pid")], folder)
try:
    Local(jobs=1, gpus=0, poll_seconds=0.05).run([job], lambda status: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_the_executor_ends_children_and_grandchildren(
    tmp_path: Path, number: int
) -> None:
    (tmp_path / "child.py").write_text(CHILD)
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # Started in the background by a shell, the tests themselves would ignore SIGINT, and hand
        # that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    assert parent.wait() == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    grandchild = int((tmp_path / "pid").read_text())
    while is_running(grandchild):  # hangs if nobody ends it
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_jobs_default_to_gpus_or_cores() -> None:
    assert Local(gpus=3).at_once == 3 and Local(gpus=0).at_once == usable_cores() >= 1
    assert Local(jobs=2, gpus=0).describe().startswith("2 at once, threads each: ")


def test_jobs_wait_until_their_memory_fits(tmp_path: Path) -> None:
    half = Resources(gpus=0, memory_gb=0.6 * Local(gpus=0).memory_gb)
    jobs = [job(tmp_path, name, "", resources=half) for name in "ab"]
    jobs.append(job(tmp_path, "c", "import time; time.sleep(0.3)"))
    running: list[set[str]] = []
    assert run(jobs, 3, watch=lambda status: running.append(set(status.running))) == []
    assert not any({"a", "b"} <= names for names in running)
    assert any({"b", "c"} <= names for names in running)


def test_a_job_is_stopped_after_its_hours(tmp_path: Path) -> None:
    code = "import time; time.sleep(600)"
    short = Resources(gpus=0, hours=0.5 / 3600)
    (failure,) = run([job(tmp_path, "a", code, resources=short), job(tmp_path, "b", "")])
    assert failure.name == "a" and failure.reason.startswith("stopped after resources.hours=0.0001")


def test_what_no_job_can_get_is_refused_beforehand() -> None:
    executor = Local(jobs=1, gpus=2)
    executor.require(Resources(gpus=2))
    Local(jobs=1, gpus=0).require(Resources(gpus=2))  # on the cores
    with pytest.raises(ValueError, match="needs gpus=3; this machine gives 2"):
        executor.require(Resources(gpus=3))
    with pytest.raises(ValueError, match="needs memory_gb=1e.*; this machine has"):
        executor.require(Resources(memory_gb=1e6))
