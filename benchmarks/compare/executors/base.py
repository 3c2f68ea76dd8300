"""The contract between a comparison and what runs it.

A comparison hands an :class:`Executor` its :class:`Job` s and a function that watches their
:class:`Status`. Only folders carry results: a job reads there what it has to do, does what is
missing and writes it there. So an executor may stop a job and run it again, here or on any machine
that shares the folders, and it never has to ask a job anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Between SIGTERM and SIGKILL: a trainer writes a checkpoint first, which takes a while on a slow
# disk.
GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Resources:
    """What a job needs for itself.

    Attributes:
        gpus: taken where there are any; a machine without computes on its cores.
        cpus: cores; None: an equal share of those that there are.
        memory_gb: main memory, in units of 2³⁰ bytes; None: what the executor gives by itself.
        hours: longest run; None: what the executor grants by itself.

    Raises:
        ValueError: a number that is too small.
    """

    gpus: int = 1
    cpus: int | None = None
    memory_gb: float | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        if self.gpus < 0:
            raise ValueError(f"gpus={self.gpus}: must be at least 0")
        if self.cpus is not None and self.cpus < 1:
            raise ValueError(f"cpus={self.cpus}: must be at least 1")
        for name in ("memory_gb", "hours"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value}: must be above 0")


@dataclass(frozen=True)
class Job:
    """A command that an executor runs in the folder in which the comparison was started.

    Attributes:
        name: shown on screen; no other job of the run has it.
        command: argument list. It gets SIGTERM when it has to stop, and ``GRACE_SECONDS`` to do so;
            started again it goes on.
        directory: folder of what it reads and writes; its output goes to ``log.txt`` there, behind
            that of earlier runs.
        environment: variables on top of this process's.
        work: expected effort, in any unit that the jobs of a run share.
    """

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    work: float = 1.0

    @property
    def log(self) -> Path:
        """The file that takes its output."""
        return self.directory / "log.txt"


@dataclass(frozen=True)
class Failure:
    """A job that ended without having done its work.

    Attributes:
        reason: as its executor knows it, such as ``exit code 1``.
        log: file with its output.
    """

    name: str
    reason: str
    log: Path

    def tail(self, lines: int = 15) -> str:
        """Returns the last ``lines`` non-empty lines of the log, or a note that there is none."""
        if not self.log.is_file():
            return "(no log)"
        with open(self.log, "rb") as file:
            file.seek(max(0, self.log.stat().st_size - 65536))
            text = file.read().decode(errors="replace")
        written = [line.rstrip() for line in text.splitlines() if line.strip()]
        return "\n".join(written[-lines:])


@dataclass(frozen=True)
class Status:
    """Where the jobs of a run stand, by name.

    Attributes:
        waiting: not started yet, in the order in which they will be.
        running: seconds since the start.
        done: seconds that it took.
    """

    waiting: Sequence[str] = ()
    running: Mapping[str, float] = field(default_factory=dict)
    done: Mapping[str, float] = field(default_factory=dict)
    failures: Sequence[Failure] = ()


Watch = Callable[[Status], None]


class Executor(ABC):
    """Runs jobs. Subclasses are dataclasses: their fields are what a user may set."""

    @property
    @abstractmethod
    def at_once(self) -> int:
        """How many jobs run at the same time, as far as is known."""

    @abstractmethod
    def describe(self) -> str:
        """Returns a few words on how jobs run, for the first line on screen."""

    def require(self, resources: Resources, name: str = "a trial") -> None:  # noqa: B027
        """Refuses what no job can get here, before anything runs. By itself refuses nothing.

        Args:
            resources: of a job.
            name: of the job, for the message.

        Raises:
            ValueError: names what is asked for and what there is.
        """

    @abstractmethod
    def run(self, jobs: Sequence[Job], watch: Watch) -> list[Failure]:
        """Runs all jobs; a failing one does not stop the others.

        Args:
            jobs: in the order in which they should start.
            watch: called every second or so, and at the end, with the present status.

        Returns:
            The failures, in the order in which they happened.

        Raises:
            ValueError: a job needs what this executor does not have.
            KeyboardInterrupt: interrupted or terminated (SIGTERM); what was running has stopped.
        """
