"""Commands as process groups of this machine that end with the process that started them.

Knows the standard library alone: another machine may run it without this project.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

WRAPPER = Path(__file__).with_name("end_with_parent.py")


def start(
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    folder: str | Path | None = None,
    grace_seconds: float,
) -> subprocess.Popen:
    """Starts a command that leads a process group of its own.

    Args:
        command: argument list.
        log: its output goes behind what is there; folders are made.
        environment: all of its variables.
        folder: in which it runs; None: this process's.
        grace_seconds: between SIGTERM and SIGKILL, should this process end first.

    Raises:
        OSError: the log cannot be written, or ``folder`` does not exist.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    # Isolated: what the job's environment does to Python is not meant for the wrapper.
    wrapper = [sys.executable, "-I", "-S", str(WRAPPER), str(os.getpid()), str(grace_seconds)]
    with open(log, "ab") as file:
        # Own session: Ctrl-C in the terminal reaches only us, and we pass it on once, in order.
        return subprocess.Popen(
            [*wrapper, *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )


def stop_all(processes: Sequence[subprocess.Popen], grace_seconds: float) -> None:
    """Ends processes and their children: SIGTERM first, SIGKILL after ``grace_seconds``."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        signal_group(process, signal.SIGKILL)
        process.wait()


def signal_group(process: subprocess.Popen, number: int) -> None:
    """Sends a signal to a process and to all that it has started; nothing if they are gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
