"""What one sees while a comparison runs: a line per running trial and the time left."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchmarks.compare.local import Status

PLAIN_EVERY_SECONDS = 60.0


class Monitor:
    """Reads the trials' state files and estimates the time left.

    Args:
        directories: task name -> trial directory (holding ``state.json`` and
            ``pretrain/progress.json``).
        weights: task name -> expected work in arbitrary units (samples to train plus a share for
            evaluation).
        jobs: how many run at once.
    """

    def __init__(self, directories: dict[str, Path], weights: dict[str, float], jobs: int) -> None:
        self.directories, self.weights, self.jobs = directories, weights, jobs

    def describe(self, name: str) -> tuple[str, float, str]:
        """Returns (phase, fraction done in [0, 1], details) of a trial."""
        directory = self.directories.get(name, Path())
        phase = read_json(directory / "state.json").get("phase", "starting")
        progress = read_json(directory / "pretrain" / "progress.json")
        step, total = progress.get("step", 0), max(progress.get("total", 1), 1)
        if phase != "pretraining":
            return phase, 1.0 if phase.startswith("evaluating") else 0.0, ""
        return (
            phase,
            step / total,
            f"step {step}/{total} · {progress.get('samples_per_s', 0):.0f} images/s",
        )

    def seconds_left(self, status: Status) -> float | None:
        """Returns the estimated seconds until all is done; None before anything of weight can be
        told.

        Seconds per unit of work come from finished trials and from what the running ones expect for
        themselves. Pretraining counts as 90 % of a trial; the evaluation's own progress is not
        known.
        """
        known = [(seconds, self.weights.get(name, 0.0)) for name, seconds in status.done.items()]
        running = []
        for task in (r.task for r in status.running):
            _, fraction, _ = self.describe(task.name)
            progress = read_json(
                self.directories.get(task.name, Path()) / "pretrain" / "progress.json"
            )
            weight = self.weights.get(task.name, 0.0)
            running.append((1 - 0.9 * fraction) * weight)
            if progress.get("eta_s") and fraction < 1:
                known.append((progress["eta_s"], 0.9 * (1 - fraction) * weight))
        # A trial of little weight is mostly start-up: nothing follows from it for the long ones.
        if max((weight for _, weight in known), default=0.0) < 0.1 * max(
            self.weights.values(), default=1.0
        ):
            return None
        rate = sum(seconds for seconds, _ in known) / sum(weight for _, weight in known)
        waiting = sum(self.weights.get(task.name, 0.0) for task in status.waiting)
        parallel = max(1, min(self.jobs, len(running) + len(status.waiting)))
        # Not less than the longest of those that run, which no other job can shorten.
        return rate * max([(sum(running) + waiting) / parallel, *running])

    def headline(self, status: Status) -> str:
        """One line: counts and the time left."""
        left = self.seconds_left(status)
        counts = (
            f"{len(status.done)} done, {len(status.running)} running, {len(status.waiting)} waiting"
        )
        failed = f", {len(status.failures)} FAILED" if status.failures else ""
        return (
            f"{counts}{failed} · "
            f"{'time left unknown yet' if left is None else f'about {clock(left)} left'}"
        )

    def table(self, status: Status) -> Table:
        """The screen: headline and one row per running trial."""
        table = Table(
            title=self.headline(status),
            title_justify="left",
            box=None,
            show_header=False,
            padding=(0, 1),
        )
        for running in status.running:
            phase, fraction, details = self.describe(running.task.name)
            filled = round(fraction * 24)
            elapsed = clock(time.monotonic() - running.started)
            bar = f"[green]{'━' * filled}[/][dim]{'━' * (24 - filled)}[/]"
            table.add_row(running.task.name, bar, phase, details, elapsed)
        return table


def read_json(path: Path) -> dict:
    """Returns the dict in a JSON file; empty when it is missing or being replaced."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def clock(seconds: float) -> str:
    """Formats seconds as ``45 s``, ``3 min 20 s`` or ``2 h 05 min``."""
    seconds = int(round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


@contextmanager
def display(monitor: Monitor, console: Console) -> Iterator[Callable[[Status], None]]:
    """Gives the executor's ``watch`` function: a live table on a terminal, else a line per minute
    and per event.
    """
    if console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live:
            yield lambda status: live.update(monitor.table(status))
        return
    last = {"time": float("-inf"), "ended": 0}

    def watch(status: Status) -> None:
        ended = len(status.done) + len(status.failures)
        if time.monotonic() - last["time"] < PLAIN_EVERY_SECONDS and ended == last["ended"]:
            return
        last.update(time=time.monotonic(), ended=ended)
        details = "; ".join(
            f"{r.task.name} {_plain_phase(monitor, r.task.name)}" for r in status.running
        )
        console.print(
            monitor.headline(status) + (f" · {details}" if details else ""),
            markup=False,
            soft_wrap=True,
        )

    yield watch


def _plain_phase(monitor: Monitor, name: str) -> str:
    phase, fraction, _ = monitor.describe(name)
    return f"{phase} {fraction:.0%}" if phase == "pretraining" else phase
