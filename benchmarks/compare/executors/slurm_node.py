"""What runs on a node of SLURM: a job's command, until it ends or has to make room."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from benchmarks.compare.executors.base import GRACE_SECONDS
from pretrain.files import atomic_write, read_dict
from pretrain.threads import thread_limits

PLACE = "slurm.json"
# Of a command, and of a job, that has to be run again: sysexits' "temporary failure".
AGAIN_EXIT_CODE = 75
OUT_OF_RESTARTS_EXIT_CODE = 124


@dataclass(frozen=True)
class Place:
    """Where SLURM has a job; written to its directory before it is submitted, so that whoever
    comes later finds it.

    Attributes:
        name: of the array, unlike that of any other.
        task: number in the array.
        folder: of submitit, with what it hands the node and what the node prints.
    """

    name: str
    task: int
    folder: str = field(default="", compare=False)

    @classmethod
    def of(cls, directory: Path) -> Place | None:
        """Returns the place of the job that was last submitted for a directory."""
        content = read_dict(directory / PLACE)
        return cls(content["name"], content["task"], content["folder"]) if content else None

    @staticmethod
    def forget(directory: Path) -> None:
        """Removes what is noted: how that job ended has been taken account of."""
        (directory / PLACE).unlink(missing_ok=True)

    def exit_code(self, directory: Path) -> int | None:
        """Returns the exit code of the job that had this place; None: it has not ended in order."""
        same = Place.of(directory) == self
        return read_dict(directory / PLACE).get("exit_code") if same else None

    def write(self, directory: Path, *, exit_code: int | None = None) -> None:
        """Notes this place, and perhaps how the job there ended."""
        ending = {} if exit_code is None else {"exit_code": exit_code}
        atomic_write(directory / PLACE, json.dumps({**asdict(self), **ending}))


@dataclass(frozen=True)
class NodeJob:
    """A job as a node runs it: output to the log, signals to the command.

    The signal SIGUSR2, which SLURM sends some time before the time limit or a pre-emption, and
    SIGTERM end the command with SIGTERM. After SIGUSR2 the job goes back to the queue; after
    SIGTERM SLURM does that itself, or somebody has cancelled the job.

    Attributes:
        cpus: cores; None: those that SLURM gave.
        restarts: how often it may go back to the queue.
    """

    place: Place
    directory: Path
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    cpus: int | None
    restarts: int

    def run(self) -> None:
        """Runs the command.

        Raises:
            SystemExit: it ended with another exit code than 0, or was stopped.
        """
        received: set[int] = set()
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda number, frame: received.add(number))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            code = _wait(self._start(log), received)
            if received and code != 0:
                code = AGAIN_EXIT_CODE
            if signal.SIGUSR2 in received and code != 0:
                code = self._requeue(log)
        if code != AGAIN_EXIT_CODE:
            self.place.write(self.directory, exit_code=code)
        if code != 0:
            raise SystemExit(code)

    def _start(self, log: IO[bytes]) -> subprocess.Popen:
        cores = self.cpus or int(os.environ.get("SLURM_CPUS_ON_NODE", 0)) or None
        return subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **thread_limits(1, at_most=cores), **self.environment},
            start_new_session=True,
            # Where SLURM signals all processes of a job, the warning is for this one.
            preexec_fn=lambda: signal.signal(signal.SIGUSR2, signal.SIG_IGN),
        )

    def _requeue(self, log: IO[bytes]) -> int:
        """Sends this job back to the queue; returns its exit code."""
        if int(os.environ.get("SLURM_RESTART_COUNT", 0)) >= self.restarts:
            log.write(f"SLURM: out of time, after {self.restarts} restarts.\n".encode())
            return OUT_OF_RESTARTS_EXIT_CODE
        log.write(b"SLURM: the time is up; this job goes back to the queue.\n")
        log.flush()
        subprocess.run(
            ["scontrol", "requeue", job_id(os.environ)], stdout=log, stderr=log, check=False
        )
        return AGAIN_EXIT_CODE


def job_id(environment: Mapping[str, str]) -> str:
    """Returns the id of the job whose environment this is: of one task, never of its whole array,
    whose id the last task's own equals.
    """
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment["SLURM_JOB_ID"]


def _wait(process: subprocess.Popen, received: set[int]) -> int:
    """Waits for the command, stops it once a signal has come; returns its exit code, 128 + N if
    signal N ended it.
    """
    kill_at = None
    while (code := process.poll()) is None:
        if received and kill_at is None:
            _signal_group(process, signal.SIGTERM)
            kill_at = time.monotonic() + GRACE_SECONDS
        elif kill_at is not None and time.monotonic() > kill_at:
            _signal_group(process, signal.SIGKILL)
        time.sleep(0.1)
    _signal_group(process, signal.SIGKILL)  # whatever it left behind
    return code if code >= 0 else 128 - code


def _signal_group(process: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the group is gone
        os.killpg(process.pid, number)
