"""What one sees of running jobs, and when they will be done."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.compare.executors.base import Failure, Job, Status, Watch
from benchmarks.compare.progress import Monitor, clock, display, run_watched


def write_progress(folder: Path, text: str = '"samples_per_s": 64.2') -> None:
    """Writes what a trainer does in the middle of its training."""
    (folder / "pretrain").mkdir(parents=True, exist_ok=True)
    content = f'{{"step": 5, "total": 10, {text}}}'
    (folder / "pretrain" / "progress.json").write_text(content)


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    """Of three jobs of equal work; ``b`` is at half of its pretraining."""
    write_progress(tmp_path / "b")
    (tmp_path / "b" / "state.json").write_text('{"phase": "pretraining"}')
    return Monitor([Job(name, [], tmp_path / name, work=1.0) for name in "abc"], at_once=1)


FIRST = Status(waiting=["c"], done={"a": 10.0})


def test_time_left_follows_from_what_has_been_done(monitor: Monitor, tmp_path: Path) -> None:
    # One more job like the finished one.
    assert monitor.seconds_left(FIRST) == pytest.approx(10.0)
    assert Monitor([], 1).seconds_left(Status()) is None
    second = replace(FIRST, running={"b": 3.0})
    # The running job is half through its pretraining: 0.55 + 1 jobs are left, one after the other.
    assert monitor.seconds_left(second) == pytest.approx(15.5)
    write_progress(tmp_path / "b", '"samples_per_s": 64.2, "eta_s": 9.0')
    # Rate: (10 s + 9 s) / (1 + 0.45) units.
    assert monitor.seconds_left(second) == pytest.approx(1.55 * 19 / 1.45)


def test_a_light_job_does_not_tell_how_long_the_others_take(monitor: Monitor) -> None:
    monitor.jobs["a"] = replace(monitor.jobs["a"], work=0.05)  # mostly start-up
    assert monitor.seconds_left(replace(FIRST, done={"a": 40.0}, running={"b": 3.0})) is None


def test_the_headline_counts_and_the_table_describes(monitor: Monitor, tmp_path: Path) -> None:
    failure = Failure("x", "exit code 1", tmp_path / "log.txt")
    status = replace(FIRST, running={"b": 3.0}, failures=[failure])
    assert monitor.describe("b") == ("pretraining", 0.5, "step 5/10 · 64 images/s")
    assert monitor.describe("a") == ("running", 0.0, "")
    words = "1 done, 1 running, 1 waiting, 1 FAILED · about 16 s left"
    assert monitor.headline(status) == words
    screen = Console(file=io.StringIO(), width=100)
    screen.print(monitor.table(status))
    assert "step 5/10 · 64 images/s" in screen.file.getvalue()


def test_without_a_terminal_a_line_per_event(monitor: Monitor) -> None:
    out = io.StringIO()
    with display(monitor, Console(file=out, force_terminal=False, width=200)) as watch:
        watch(FIRST)
        watch(FIRST)  # nothing has happened: no second line
        watch(replace(FIRST, done={"a": 10.0, "b": 3.0}, waiting=[], running={"c": 1.0}))
    first, second = out.getvalue().splitlines()
    assert first.startswith("1 done, 0 running, 1 waiting") and second.endswith(" · c running")
    with display(monitor, Console(file=out, force_terminal=True, width=100)) as watch:
        watch(FIRST)


def test_the_failures_are_the_executors(tmp_path: Path) -> None:
    failure = Failure("a", "lost", tmp_path / "log.txt")

    class Fails:
        at_once = 1

        def run(self, jobs: list[Job], watch: Watch, *, attempts: int) -> list[Failure]:
            watch(Status(failures=[failure]))
            return [failure]

    console = Console(file=io.StringIO(), width=100)
    assert run_watched(Fails(), [Job("a", [], tmp_path)], console=console) == [failure]
    assert "1 FAILED" in console.file.getvalue()


def test_clock_reads_well() -> None:
    assert [clock(s) for s in (5.4, 200, 7500)] == ["5 s", "3 min 20 s", "2 h 05 min"]
