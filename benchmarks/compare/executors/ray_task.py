"""What a Ray worker does for a job: run its command, and end it when the worker has to end.

Workers get this code by value, with :mod:`processes`, so they need not be able to import the
project. It knows the standard library alone.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare.executors.processes import start, stop_all

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Order:
    """A command as a worker gets it; all paths are those of the shared file system.

    Attributes:
        folder: in which the command runs.
        log: file that takes its output.
        environment: all variables, except for the GPUs that Ray grants.
        gpus: how many it was granted.
        note: file that gets ``token`` when the command has started.
        token: of this attempt alone.
        grace_seconds: between SIGTERM and SIGKILL.
        seconds: longest run; None: it may run for ever.
    """

    command: Sequence[str]
    folder: Path
    log: Path
    environment: Mapping[str, str]
    gpus: int
    note: Path
    token: str
    grace_seconds: float
    seconds: float | None = None


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Attributes:
        host: on which it ran.
        code: of its exit.
        late: it ran for longer than it may, and was told to stop.
        problem: why it could not be started; empty: it was.
    """

    host: str
    code: int = 0
    late: bool = False
    problem: str = ""


def carry_out(order: Order) -> Ending:
    """Runs the command.

    Raises:
        KeyboardInterrupt: Ray cancelled the task; the command has ended.
    """
    host = socket.gethostname()
    granted = os.environ.get("CUDA_VISIBLE_DEVICES", "") if order.gpus else ""
    environment = {**order.environment, "CUDA_VISIBLE_DEVICES": granted}
    if not order.folder.is_dir():
        problem = (
            f"{host} does not see {order.folder}: Ray's nodes must share the comparison's folders"
        )
        return Ending(host, problem=problem)
    process = start(
        order.command,
        order.log,
        environment=environment,
        folder=order.folder,
        grace_seconds=order.grace_seconds,
    )
    started, late = time.monotonic(), False
    try:
        order.note.write_text(order.token)
        while process.poll() is None and not late:
            time.sleep(POLL_SECONDS)
            late = order.seconds is not None and time.monotonic() - started > order.seconds
    finally:
        stop_all([process], order.grace_seconds)  # and whatever it left behind
    return Ending(host, process.returncode, late)
