"""Where a comparison stands, read from its folder alone: from any machine, whoever runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchmarks.compare.executors.base import Failure, Job, Status
from benchmarks.compare.jobs import EVALUATION_SHARE
from benchmarks.compare.progress import Monitor, bar, clock
from benchmarks.compare.trial_folder import TrialFolder
from pretrain.files import read_dict
from pretrain.folder_lock import holders
from pretrain.lock_owner import Owner

STATES = ("running", "failed", "waiting", "done")
WATCH_SECONDS = 3.0


@dataclass(frozen=True)
class JobState:
    """A trial or a baseline.

    Attributes:
        state: of ``STATES``; ``failed`` also if it is going to be tried again.
        phase: what it does, or did last.
        fraction: of its training that is done, in [0, 1]; ``details`` in words.
        seconds_left: of its training; None: not known.
        failures: how often it failed.
        last_line: of its log, if it failed.
        host: where it runs.
    """

    name: str
    state: str
    phase: str = ""
    fraction: float = 0.0
    details: str = ""
    seconds_left: float | None = None
    failures: int = 0
    last_line: str = ""
    host: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A comparison at one moment.

    Attributes:
        jobs: trials by name, then baselines.
        seconds_left: until all is done; None: not known, or nothing runs.
        runner: the process that runs the comparison; None: nobody does.
    """

    directory: Path
    jobs: tuple[JobState, ...]
    seconds_left: float | None
    runner: Owner | None

    def of(self, state: str) -> list[JobState]:
        """Returns the jobs in one of ``STATES``."""
        return [job for job in self.jobs if job.state == state]

    @property
    def headline(self) -> str:
        """One line: counts, time left, who runs it."""
        done, running, waiting = (len(self.of(s)) for s in ("done", "running", "waiting"))
        parts = [f"{done} done, {running} running, {waiting} waiting"]
        if self.of("failed"):
            parts[0] += f", {len(self.of('failed'))} FAILED"
        if self.seconds_left is not None:
            parts.append(f"about {clock(self.seconds_left)} left")
        elif done < len(self.jobs) and (running or self.runner):
            parts.append("time left unknown yet")
        runner = self.runner.describe().strip(" ()") if self.runner else "nobody"
        return f"{self.directory}: {' · '.join(parts)} · run by {runner}"

    def to_json(self) -> str:
        """Returns everything as one line of JSON."""
        counts = {state: len(self.of(state)) for state in STATES}
        runner = self.runner and {"host": self.runner.host, "pid": self.runner.pid}
        content: dict[str, Any] = {"directory": str(self.directory), "runner": runner}
        content |= {"counts": counts, "seconds_left": self.seconds_left}
        return json.dumps({**content, "jobs": list(map(asdict, self.jobs))})


def snapshot(directory: Path) -> Snapshot:
    """Reads how a comparison stands. Writes nothing.

    Takes up to ten seconds where a process of another machine has to show that it lives.

    Raises:
        ValueError: the folder holds no comparison.
    """
    jobs = _jobs(directory)
    if not jobs:
        raise ValueError(
            f"{directory}: holds no comparison; give the folder of one (--work-dir of "
            "pixelpretext compare), which has its trials as ARM/seed_K"
        )
    living = holders([directory, *(job.directory for job in jobs)])
    monitor = Monitor(jobs, at_once=1)
    states = [_state(job, living.get(job.directory), monitor) for job in jobs]
    running = [job.name for job in states if job.state == "running"]
    left = None
    if running:
        monitor.at_once = len(running)
        # Those that failed count as waiting: most are tried again.
        waiting = [job.name for job in states if job.state in ("waiting", "failed")]
        spent = {job.name: _spent(job) for job in jobs}
        done = {job.name: spent[job.name] for job in states if job.state == "done"}
        status = Status(waiting, {name: spent[name] for name in running}, done)
        left = monitor.seconds_left(status)
    return Snapshot(directory, tuple(states), left, living.get(directory))


def _jobs(directory: Path) -> list[Job]:
    """Returns the trials and baselines of a comparison as jobs that somebody else runs."""
    files = []
    for pattern in ("*/seed_*/trial.json", "*/search/*/seed_*/trial.json"):  # of tuned arms, too
        files += sorted(directory.glob(pattern))
    folders = [path.parent for path in files]
    samples = [float(TrialFolder(folder).spec().samples) for folder in folders]
    evaluation = EVALUATION_SHARE * max(samples, default=0.0) or 1.0
    jobs = []
    for folder, work in zip(folders, samples, strict=True):
        name = str(folder.relative_to(directory))
        jobs.append(Job(name, (), folder, work=work + evaluation))
    for path in sorted(directory.glob("baselines/*/*/request.json")):
        name = f"baseline {path.parent.relative_to(directory / 'baselines')}"
        jobs.append(Job(name, (), path.parent, work=evaluation))
    return jobs


def _state(job: Job, holder: Owner | None, monitor: Monitor) -> JobState:
    failures = TrialFolder(job.directory).attempts.failed
    if holder is not None:
        phase, fraction, details = monitor.describe(job.name)
        left = TrialFolder(job.directory).progress().get("eta_s")
        if phase != "pretraining":
            left = None
        return JobState(
            job.name, "running", phase, fraction, details, left, failures, host=holder.host
        )
    if _is_done(job.directory):
        stopped = TrialFolder(job.directory).stopped
        if stopped is not None:
            details = f"stopped after {stopped.samples:,} samples"
            return JobState(job.name, "done", "stopped", 1.0, details)
        return JobState(job.name, "done", "done", 1.0)
    phase, fraction, details = monitor.describe(job.name)
    if failures:
        last = Failure(job.name, "", job.log).tail(1)
        return JobState(
            job.name, "failed", phase, fraction, details, failures=failures, last_line=last
        )
    return JobState(job.name, "waiting", phase if fraction else "", fraction, details)


def _is_done(folder: Path) -> bool:
    request = read_dict(folder / "request.json")
    if request:
        return read_dict(folder / "record.json").get("hash") == request.get("hash")
    return not TrialFolder(folder).missing()


def _spent(job: Job) -> float:
    state = TrialFolder(job.directory).state()
    return state.get("pretrain_seconds", 0.0) + state.get("evaluation_seconds", 0.0)


def show(now: Snapshot, *, console: Console, form: str = "screen") -> None:
    """Prints how a comparison stands.

    Args:
        now: what to print.
        console: where to print.
        form: ``screen``, or for scripts ``line`` (the headline) or ``json``, both one line.
    """
    if form == "screen":
        console.print(screen(now))
    else:
        text = now.to_json() if form == "json" else now.headline
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def watch(directory: Path, *, console: Console, form: str = "screen") -> None:
    """Prints how a comparison stands, again and again, until all is done, or all that is left has
    failed and nobody runs it.

    Args:
        directory: of the comparison.
        console: where to print. On a terminal the screen is redrawn, elsewhere printed again.
        form: see :func:`show`.

    Raises:
        ValueError: the folder holds no comparison.
    """
    redraw = form == "screen" and console.is_terminal
    with Live(console=console, auto_refresh=False) if redraw else nullcontext() as live:
        while True:
            now = snapshot(directory)
            if live is None:
                show(now, console=console, form=form)
            else:
                live.update(screen(now), refresh=True)
            if _is_over(now):
                return
            time.sleep(WATCH_SECONDS)


def _is_over(now: Snapshot) -> bool:
    return not now.of("running") and not now.of("waiting") and now.runner is None


def screen(now: Snapshot) -> Group:
    """Returns what people see: the headline, a row per running and failed job, the names of the
    others.
    """
    table = Table(box=None, show_header=False, padding=(0, 1))
    for job in [*now.of("running"), *now.of("failed")]:
        if job.state == "running":
            left = "" if job.seconds_left is None else f" · {clock(job.seconds_left)} left"
            table.add_row(
                job.name, bar(job.fraction), job.phase, f"{job.details}{left} · {job.host}"
            )
        else:
            table.add_row(job.name, "[bold red]FAILED[/]", f"{job.failures} ×", Text(job.last_line))
    lines = [Text(now.headline), table]
    for state in ("waiting", "done"):
        if now.of(state):
            lines.append(Text(f"{state}: {_names(now.of(state))}"))
    return Group(*lines)


def _names(jobs: Sequence[JobState]) -> str:
    return ", ".join(map(_name, jobs))


def _name(job: JobState) -> str:
    if job.phase == "stopped":
        return f"{job.name} ({job.details})"
    if job.state == "waiting" and job.phase == "pretraining":
        return f"{job.name} (stopped at {job.fraction:.0%})"
    return job.name
