"""The local executor: a few tasks at once as processes of this machine, watched, stopped cleanly,
reported.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pretrain.threads import thread_limits, usable_cores

GRACE_SECONDS = (
    30.0  # a trainer told to stop writes a checkpoint first; on a slow disk that takes a while
)


@dataclass
class Task:
    """One process to run.

    Attributes:
        name: shown on screen.
        command: argument list.
        log: file that takes its output; a rerun appends.
        env: set on top of this process's environment.
    """

    name: str
    command: Sequence[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict)


@dataclass
class Running:
    """A started task; ``slot`` in [0, jobs) tells concurrent ones apart, ``started`` is
    ``time.monotonic``'s.
    """

    task: Task
    process: subprocess.Popen
    slot: int
    started: float


@dataclass
class Failure:
    """A task that ended with an exit code other than 0, and the last lines of its log."""

    task: Task
    code: int
    tail: str


@dataclass
class Status:
    """What a watcher sees: ``done`` maps the names of finished tasks to their seconds."""

    running: list[Running]
    waiting: list[Task]
    done: dict[str, float]
    failures: list[Failure]


def default_jobs(gpus: int) -> int:
    """Returns one trial per GPU or, on a machine without any, one per core."""
    return gpus or usable_cores()


def run_tasks(
    tasks: Sequence[Task],
    jobs: int,
    *,
    gpus: int = 0,
    watch: Callable[[Status], None] = lambda status: None,
    poll_seconds: float = 0.5,
) -> list[Failure]:
    """Runs all tasks, up to ``jobs`` at once; a failing one does not stop the others.

    Each process gets its share of the cores as threads, fewer if the user's ``OMP_NUM_THREADS``
    says so, and, with ``gpus`` > 0, one GPU in turn. Ctrl-C or SIGTERM stops every child, with time
    to write a checkpoint.

    Args:
        watch: called about every ``poll_seconds`` with the current :class:`Status`.

    Returns:
        The failures, in the order in which they happened.

    Raises:
        ValueError: ``jobs`` < 1.
        KeyboardInterrupt: interrupted or terminated; all children have ended by then.
    """
    if jobs < 1:
        raise ValueError(f"jobs = {jobs}: must be at least 1")
    status = Status([], list(tasks), {}, [])
    with _terminate_as_interrupt():
        try:
            while status.running or status.waiting:
                while status.waiting and len(status.running) < jobs:
                    slot = min(set(range(jobs)) - {r.slot for r in status.running})
                    status.running.append(_start(status.waiting.pop(0), slot, jobs=jobs, gpus=gpus))
                watch(status)
                time.sleep(poll_seconds)
                _collect(status)
            watch(status)
        finally:
            stop_all([r.process for r in status.running])
    return status.failures


def _start(task: Task, slot: int, *, jobs: int, gpus: int) -> Running:
    env = {**os.environ, **thread_limits(jobs), "PYTHONUNBUFFERED": "1", **task.env}
    if gpus:
        env["CUDA_VISIBLE_DEVICES"] = str(slot % gpus)
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with open(task.log, "ab") as log:
        # Own session: Ctrl-C in the terminal reaches only us, and we pass it on once, in order.
        process = subprocess.Popen(
            task.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
    return Running(task, process, slot, time.monotonic())


def _collect(status: Status) -> None:
    """Moves ended processes from ``running`` to ``done`` or ``failures``."""
    for running in [r for r in status.running if r.process.poll() is not None]:
        status.running.remove(running)
        _signal_group(running.process, signal.SIGKILL)  # whatever it left behind
        if running.process.returncode == 0:
            status.done[running.task.name] = time.monotonic() - running.started
        else:
            status.failures.append(
                Failure(running.task, running.process.returncode, tail(running.task.log))
            )


def stop_all(processes: Sequence[subprocess.Popen], grace_seconds: float = GRACE_SECONDS) -> None:
    """Ends processes and their children: SIGTERM first, SIGKILL after ``grace_seconds``."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass  # the group is gone


def end_with_parent() -> None:
    """Called by a task's process: ends its whole group when the executor is gone, killed without a
    chance to stop it.

    Does nothing in a process that :func:`run_tasks` did not start.
    """
    if os.getpgrp() != os.getpid():
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.killpg(0, signal.SIGTERM)
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def tail(path: Path, lines: int = 15) -> str:
    """Returns the last ``lines`` non-empty lines of a text file, or a note that it is missing."""
    if not path.is_file():
        return "(no log)"
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - 65536))
        text = file.read().decode(errors="replace")
    return "\n".join([line.rstrip() for line in text.splitlines() if line.strip()][-lines:])


@contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Inside, SIGTERM raises KeyboardInterrupt, so that one path cleans up after both."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals stay as the caller has them
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
