"""The contract between a comparison and what runs it.

A comparison hands an :class:`Executor` its :class:`Job` s and a function that watches their
:class:`Status`. Only folders carry results: a job reads there what it has to do, does what is
missing and writes it there. So an executor may stop a job and run it again, here or on any machine
that shares the folders, and it never has to ask a job anything.

An executor knows how to start a job and how it ended. What follows from that is the same for all of
them and stands in :class:`Ledger`: a job that fails is tried again, one that has failed so often as
it may is given up, and the rest goes on. ``docs/adding_an_executor.md`` shows how to add one.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare.executors.attempts import Attempts
from benchmarks.compare.executors.interrupts import terminate_as_interrupt

# Between SIGTERM and SIGKILL: a trainer writes a checkpoint first, which takes a while on a slow
# disk.
GRACE_SECONDS = 30.0
STOPPED_EXIT_CODE = 128 + signal.SIGTERM  # of a job that was told to stop, as it should end then


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


def out_of_hours(hours: float) -> str:
    """Returns why a job has failed that ran for longer than its ``resources.hours``."""
    return f"stopped after resources.hours={hours:g}"


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
        request: fingerprint of what its folder asks for: failures are counted for that alone.
    """

    name: str
    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    work: float = 1.0
    request: str = ""

    @property
    def attempts(self) -> Attempts:
        """How often it has failed."""
        return Attempts(self.directory, self.request)

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


class Ledger:
    """The jobs of a run by what has become of them, and the one rule for those that fail.

    A job that fails is put behind all that wait. Once it has failed ``attempts`` times, earlier
    runs of the comparison counted, it stays a failure. A job that was stopped has not failed, and
    is not tried again by this run.

    Args:
        jobs: in the order in which they should start.
        attempts: how often each may fail.

    Attributes:
        waiting: to be started by the executor, which takes them out from the front.
        done: seconds that each job took.
        failures: in the order in which they happened.
    """

    def __init__(self, jobs: Sequence[Job], attempts: int = 1) -> None:
        self.waiting, self.attempts = list(jobs), attempts
        self.done: dict[str, float] = {}
        self.failures: list[Failure] = []

    def ended(self, job: Job, code: int, *, seconds: float, where: str = "") -> None:
        """Enters how a job's command ended.

        Args:
            job: that was taken out of ``waiting``.
            code: of its exit, 128 + N if signal N ended it.
            seconds: since its start.
            where: on which machine, for people.
        """
        if code == 0:
            self.succeeded(job, seconds)
        else:
            reason = f"exit code {code}{f' on {where}' if where else ''}"
            self.failed(job, reason, stopped=code == STOPPED_EXIT_CODE)

    def succeeded(self, job: Job, seconds: float) -> None:
        """Enters that a job has done its work."""
        job.attempts.forget()
        self.done[job.name] = seconds

    def failed(self, job: Job, reason: str, *, stopped: bool = False) -> None:
        """Enters that a job ended too early, was lost, or could not be started.

        Args:
            job: that was taken out of ``waiting``.
            reason: for people.
            stopped: somebody asked it to stop.
        """
        if not stopped:
            job.attempts.count(reason)
        if stopped or job.attempts.failed >= self.attempts:
            self.failures.append(Failure(job.name, reason, job.log))
        else:
            self.waiting.append(job)

    def status(self, running: Mapping[str, float], submitted: Sequence[str] = ()) -> Status:
        """Returns where all jobs stand.

        Args:
            running: name -> seconds since the start.
            submitted: names of those that the executor has handed on and that have not started.
        """
        waiting = [*submitted, *(job.name for job in self.waiting)]
        return Status(waiting, dict(running), dict(self.done), list(self.failures))


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

    @classmethod
    def left_behind(cls, directory: Path) -> str:
        """Returns what an earlier run has left to wait or run for a job's directory, and how to end
        it, in words; empty: nothing. By itself nothing: jobs end with the process that runs them.
        """
        return ""

    @abstractmethod
    def carry_out(self, ledger: Ledger, watch: Watch) -> None:
        """Runs what waits in a ledger, until nothing waits and nothing runs.

        Takes jobs out of ``ledger.waiting`` as places become free, tells the ledger how each ended
        (which may put it back), and calls ``watch`` every second or so, and at the end. Whatever
        ends this method early, Ctrl-C above all, stops what runs: SIGTERM, and SIGKILL after
        ``GRACE_SECONDS``.

        Args:
            ledger: takes what becomes of the jobs.
            watch: called with the present status.
        """

    def run(self, jobs: Sequence[Job], watch: Watch, *, attempts: int = 1) -> list[Failure]:
        """Runs all jobs; a failing one does not stop the others.

        Args:
            jobs: in the order in which they should start.
            watch: called every second or so, and at the end, with the present status.
            attempts: how often a job may fail, see :class:`Ledger`.

        Returns:
            The failures that remain, in the order in which they happened.

        Raises:
            ValueError: a job needs what this executor does not have.
            KeyboardInterrupt: interrupted or terminated (SIGTERM); what was running has stopped.
        """
        named: dict[Resources, str] = {}
        for job in jobs:
            named.setdefault(job.resources, job.name)
        for resources, name in named.items():
            self.require(resources, name)
        ledger = Ledger(jobs, attempts)
        with terminate_as_interrupt():
            self.carry_out(ledger, watch)
        return ledger.failures
