"""What one sees while a comparison runs: a line per running job and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmarks.compare.executors.base import Executor, Failure, Job, Status, Watch
from benchmarks.compare.trial_folder import TrialFolder

PLAIN_EVERY_SECONDS = 60.0
PRETRAINING_SHARE = 0.9  # of a trial's work; how far its evaluation is, is not known


def run_watched(
    executor: Executor,
    jobs: Sequence[Job],
    *,
    console: Console,
    attempts: int = 1,
    look: Callable[[], None] = lambda: None,
) -> list[Failure]:
    """Runs jobs and shows how far they are; returns the failures that remain.

    Args:
        executor: runs them.
        jobs: to be run.
        console: where progress is shown.
        attempts: how often each may fail.
        look: called every second or so.
    """
    with display(Monitor(jobs, executor.at_once), console) as show:

        def watch(status: Status) -> None:
            look()
            show(status)

        return executor.run(jobs, watch, attempts=attempts)


class Monitor:
    """Reads from the jobs' folders how far they are, and estimates the time left.

    Args:
        jobs: all of a run. Those that are trials tell how far they are in their folders.
        at_once: how many run at the same time.
    """

    def __init__(self, jobs: Sequence[Job], at_once: int) -> None:
        self.jobs, self.at_once = {job.name: job for job in jobs}, at_once

    def describe(self, name: str) -> tuple[str, float, str]:
        """Returns (phase, fraction done in [0, 1], details) of a job."""
        folder = TrialFolder(self.jobs[name].directory)
        phase = folder.state().get("phase", "running")
        if phase != "pretraining":
            return phase, 1.0 if phase.startswith("evaluating") else 0.0, ""
        progress = folder.progress()
        step, total = progress.get("step", 0), max(progress.get("total", 1), 1)
        speed = progress.get("samples_per_s", 0)
        return phase, step / total, f"step {step}/{total} · {speed:.0f} images/s"

    def seconds_left(self, status: Status) -> float | None:
        """Returns the estimated seconds until all is done; None before enough has been done to
        know.

        Seconds per unit of work come from finished jobs and from what the running ones expect for
        themselves.
        """
        spent = list(status.done.values())  # seconds, and the work that took or will take them
        known = [self.jobs[name].work for name in status.done]
        running = [0.0]  # work that is left of each running job
        for name in status.running:
            job, (_, fraction, _) = self.jobs[name], self.describe(name)
            running.append((1 - PRETRAINING_SHARE * fraction) * job.work)
            left = TrialFolder(job.directory).progress().get("eta_s")
            if left and fraction < 1:
                spent.append(left)
                known.append(PRETRAINING_SHARE * (1 - fraction) * job.work)
        # A job of little work is mostly start-up: nothing follows from it for the long ones.
        if not known or max(known) < 0.1 * max(job.work for job in self.jobs.values()):
            return None
        waiting = sum(self.jobs[name].work for name in status.waiting)
        parallel = max(1, min(self.at_once, len(status.running) + len(status.waiting)))
        # Not less than the longest of those that run, which no other can shorten.
        work = max((sum(running) + waiting) / parallel, *running)
        return sum(spent) / sum(known) * work

    def headline(self, status: Status) -> str:
        """One line: counts and the time left."""
        counts = (
            f"{len(status.done)} done, {len(status.running)} running, {len(status.waiting)} waiting"
        )
        failed = f", {len(status.failures)} FAILED" if status.failures else ""
        seconds = self.seconds_left(status)
        left = "time left unknown yet" if seconds is None else f"about {clock(seconds)} left"
        return f"{counts}{failed} · {left}"

    def table(self, status: Status) -> Table:
        """The screen: headline and one row per running job."""
        table = Table(
            title=self.headline(status),
            title_justify="left",
            box=None,
            show_header=False,
            padding=(0, 1),
        )
        for name, seconds in status.running.items():
            phase, fraction, details = self.describe(name)
            table.add_row(name, bar(fraction), phase, details, clock(seconds))
        return table


def bar(fraction: float) -> str:
    """Returns a bar of 24 characters for rich, a ``fraction`` of it green."""
    filled = round(fraction * 24)
    return f"[green]{'━' * filled}[/][dim]{'━' * (24 - filled)}[/]"


def clock(seconds: float) -> str:
    """Formats seconds as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


@contextmanager
def display(monitor: Monitor, console: Console) -> Iterator[Watch]:
    """Gives the executor's ``watch`` function: a live table on a terminal, else a line per minute
    and per event.
    """
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda status: live.update(monitor.table(status))
        return
    shown_at, shown_ended = float("-inf"), 0

    def watch(status: Status) -> None:
        nonlocal shown_at, shown_ended
        ended = len(status.done) + len(status.failures)
        if time.monotonic() - shown_at < PLAIN_EVERY_SECONDS and ended == shown_ended:
            return
        shown_at, shown_ended = time.monotonic(), ended
        phases = [f"{name} {_plain_phase(monitor, name)}" for name in status.running]
        details = f" · {'; '.join(phases)}" if phases else ""
        console.print(monitor.headline(status) + details, markup=False, soft_wrap=True)

    yield watch


def _plain_phase(monitor: Monitor, name: str) -> str:
    phase, fraction, _ = monitor.describe(name)
    return f"{phase} {fraction:.0%}" if phase == "pretraining" else phase
