"""The executor: how many at once, with how many threads, failures, and no child that stays behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.compare.local import Status, Task, default_jobs, run_tasks, tail
from benchmarks.compare.progress import Monitor, clock, display
from pretrain.threads import usable_cores

STAMP = "import os, sys, time; open(sys.argv[1], 'a').write(f'{time.time()} '); time.sleep(0.4); "


def task(folder: Path, name: str, code: str, *arguments: str) -> Task:
    """A task that runs a line of Python."""
    return Task(name, [sys.executable, "-S", "-c", code, *arguments], folder / f"{name}.log")


def test_runs_all_with_at_most_jobs_at_once_and_shares_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    code = STAMP + "open(sys.argv[1], 'a').write(f'{time.time()} ' + os.environ['OMP_NUM_THREADS'])"
    tasks = [task(tmp_path, f"t{i}", code, str(tmp_path / f"t{i}.txt")) for i in range(4)]
    seen: list[int] = []
    assert run_tasks(tasks, 2, poll_seconds=0.02, watch=lambda s: seen.append(len(s.running))) == []
    spans = [(tmp_path / f"t{i}.txt").read_text().split() for i in range(4)]
    begins, ends = [float(s[0]) for s in spans], [float(s[1]) for s in spans]
    for begin in begins:
        assert sum(b <= begin < e for b, e in zip(begins, ends, strict=True)) <= 2
    assert max(seen) == 2 and {s[2] for s in spans} == {str(max(1, usable_cores() // 2))}


def test_the_user_may_ask_for_fewer_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine whose cores others use: one thread per core there is many times slower than
    one.
    """
    monkeypatch.setattr("pretrain.threads.usable_cores", lambda: 4)
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'] + "
        "os.environ['MKL_NUM_THREADS'])"
    )
    for wish, expected in (("1", "11"), ("9", "44")):
        monkeypatch.setenv("OMP_NUM_THREADS", wish)
        monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
        assert (
            run_tasks([task(tmp_path, "t", code, str(tmp_path / "t.txt"))], 1, poll_seconds=0.02)
            == []
        )
        assert (tmp_path / "t.txt").read_text() == expected


def test_a_failure_stops_no_other_and_brings_the_end_of_its_log(tmp_path: Path) -> None:
    bad = task(
        tmp_path, "bad", "print('\\n'.join(f'line {i}' for i in range(40))); raise SystemExit(7)"
    )
    tasks = [bad, task(tmp_path, "good", "print('fine')")]
    (failure,) = run_tasks(tasks, 1, poll_seconds=0.02)
    assert (failure.task.name, failure.code) == ("bad", 7)
    assert failure.tail.splitlines() == [f"line {i}" for i in range(25, 40)]
    assert (tmp_path / "good.log").read_text() == "fine\n"
    assert tail(tmp_path / "none.log") == "(no log)"
    with pytest.raises(ValueError, match="jobs = 0"):
        run_tasks([], 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption_ends_children_and_grandchildren(tmp_path: Path, number: int) -> None:
    child = "import subprocess, sys, time\nsleep = 'import time; time.sleep(2000)'\n"
    child += "p = subprocess.Popen([sys.executable, '-S', '-c', sleep])\n"
    child += "open(sys.argv[1], 'w').write(f'{p.pid}'); time.sleep(2000)"
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom benchmarks.compare.local import Task, "
        f"run_tasks\ncommand = [sys.executable, '-S', '-c', {child!r}, "
        f"{str(tmp_path / 'pid')!r}]\ntask = Task('t', command, Path({str(tmp_path)!r}) / "
        "'log')\ntry:\n    run_tasks([task], 1, poll_seconds=0.05)\nexcept "
        "KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": root},
        # Started in the background by a shell, the tests themselves would ignore SIGINT, and hand
        # that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(number)
    assert parent.wait() == 130
    grandchild = int((tmp_path / "pid").read_text())
    while running(grandchild):  # hangs if nobody ends it
        time.sleep(0.05)


def running(pid: int) -> bool:
    """Whether a process exists and is no zombie that waits for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_jobs_default_to_gpus_or_cores() -> None:
    assert default_jobs(3) == 3 and default_jobs(0) == usable_cores() >= 1


def make_status(folder: Path) -> tuple[Monitor, Status]:
    """One finished trial of 10 s, one at half of its pretraining, one waiting; all of equal weight."""
    (folder / "b" / "pretrain").mkdir(parents=True)
    (folder / "b" / "state.json").write_text('{"phase": "pretraining"}')
    (folder / "b" / "pretrain" / "progress.json").write_text(
        '{"step": 5, "total": 10, "samples_per_s": 64.2}'
    )
    monitor = Monitor({"b": folder / "b"}, {"a": 1.0, "b": 1.0, "c": 1.0}, jobs=1)
    status = Status([], [task(folder, "c", "")], {"a": 10.0}, [])
    return monitor, status


def test_time_left_follows_from_what_has_been_done(tmp_path: Path) -> None:
    from benchmarks.compare.local import Running

    monitor, status = make_status(tmp_path)
    assert monitor.seconds_left(status) == pytest.approx(
        10.0
    )  # one more trial like the finished one
    assert Monitor({}, {}, 1).seconds_left(Status([], [], {}, [])) is None
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    status.running.append(Running(task(tmp_path, "b", ""), process, 0, time.monotonic()))
    # The running trial is half through its pretraining: 0.55 + 1 trials are left on one slot.
    assert monitor.seconds_left(status) == pytest.approx(15.5)
    progress = '{"step": 5, "total": 10, "samples_per_s": 64.2, "eta_s": 9.0}'
    (tmp_path / "b" / "pretrain" / "progress.json").write_text(progress)
    # Rate: (10 s + 9 s) / (1 + 0.45) units.
    assert monitor.seconds_left(status) == pytest.approx(1.55 * 19 / 1.45)
    monitor.weights["a"], status.done["a"] = 0.05, 40.0  # light and slow: mostly start-up
    (tmp_path / "b" / "pretrain" / "progress.json").write_text(
        '{"step": 5, "total": 10, "samples_per_s": 64.2}'
    )
    assert monitor.seconds_left(status) is None
    assert monitor.describe("b") == ("pretraining", 0.5, "step 5/10 · 64 images/s")
    assert "1 done, 1 running, 1 waiting" in monitor.headline(status)


def test_without_a_terminal_a_line_per_event(tmp_path: Path) -> None:
    monitor, status = make_status(tmp_path)
    out = io.StringIO()
    with display(monitor, Console(file=out, force_terminal=False, width=200)) as watch:
        watch(status)
        watch(status)  # nothing has happened: no second line
        status.done["c"] = 3.0
        watch(status)
    assert out.getvalue().count("\n") == 2 and "1 done, 0 running, 1 waiting" in out.getvalue()
    with display(monitor, Console(file=out, force_terminal=True, width=100)) as watch:
        watch(status)


def test_clock_reads_well() -> None:
    assert [clock(s) for s in (5.4, 200, 7500)] == ["5 s", "3 min 20 s", "2 h 05 min"]
