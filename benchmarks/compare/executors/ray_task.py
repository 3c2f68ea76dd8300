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
    """

    command: Sequence[str]
    folder: Path
    log: Path
    environment: Mapping[str, str]
    gpus: int
    note: Path
    token: str
    grace_seconds: float


def carry_out(order: Order) -> str | None:
    """Runs the command; returns why it failed, or None.

    Raises:
        KeyboardInterrupt: Ray cancelled the task; the command has ended.
    """
    host = socket.gethostname()
    granted = os.environ.get("CUDA_VISIBLE_DEVICES", "") if order.gpus else ""
    environment = {**order.environment, "CUDA_VISIBLE_DEVICES": granted}
    if not order.folder.is_dir():
        return (
            f"{host} does not see {order.folder}: Ray's nodes must share the comparison's folders"
        )
    process = start(
        order.command,
        order.log,
        environment=environment,
        folder=order.folder,
        grace_seconds=order.grace_seconds,
    )
    try:
        order.note.write_text(order.token)
        while process.poll() is None:
            time.sleep(POLL_SECONDS)
    finally:
        stop_all([process], order.grace_seconds)  # and whatever it left behind
    code = process.returncode
    return None if code == 0 else f"exit code {code} on {host}"
