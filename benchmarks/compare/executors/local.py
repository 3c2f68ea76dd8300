"""The local executor: a few jobs at once as processes of this machine, none of which stays."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.compare.executors.base import (
    GRACE_SECONDS,
    Executor,
    Job,
    Ledger,
    Resources,
    Status,
    Watch,
    out_of_hours,
)
from benchmarks.compare.executors.processes import signal_group, start, stop_all
from pretrain.threads import thread_limits, usable_cores


@dataclass
class Local(Executor):
    """Processes of this machine.

    Each job gets its share of the cores as threads, fewer if it needs fewer or the user's
    ``OMP_NUM_THREADS`` says so, and its GPUs in turn: with more jobs at once than GPUs they share
    them. Jobs that say how much memory they need run at the same time only as far as they fit into
    the machine's; a job that is not done after its ``hours`` is stopped and has failed, and goes on
    from its checkpoint when it is tried again. Jobs end with this process, also if that is killed.

    Attributes:
        jobs: at once; None: one per GPU or, without any, one per core.
        gpus: how many to use; None: all that there are.
        poll_seconds: between two looks at the processes.

    Raises:
        ValueError: a number that is too small.
    """

    jobs: int | None = None
    gpus: int | None = None
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.gpus is None:
            self.gpus = _count_gpus()
        if self.gpus < 0:
            raise ValueError(f"gpus={self.gpus}: must be at least 0")
        if self.jobs is None:
            self.jobs = self.gpus or usable_cores()
        if self.jobs < 1:
            raise ValueError(f"jobs={self.jobs}: must be at least 1")

    @property
    def at_once(self) -> int:
        """See :class:`Executor`."""
        return self.jobs

    def describe(self) -> str:
        """See :class:`Executor`."""
        return f"{self.jobs} at once, threads each: {thread_limits(self.jobs)['OMP_NUM_THREADS']}"

    def require(self, resources: Resources, name: str = "a trial") -> None:
        """See :class:`Executor`. A machine without GPUs computes on its cores."""
        if self.gpus and resources.gpus > self.gpus:
            raise ValueError(f"{name} needs gpus={resources.gpus}; this machine gives {self.gpus}")
        if resources.memory_gb is not None and resources.memory_gb > self.memory_gb:
            raise ValueError(
                f"{name} needs memory_gb={resources.memory_gb:g}; this machine has "
                f"{self.memory_gb:.1f}"
            )

    def carry_out(self, ledger: Ledger, watch: Watch) -> None:
        """See :class:`Executor`."""
        running = _Running(self, ledger)
        try:
            while ledger.waiting or running.processes:
                while running.has_place():
                    running.start()
                watch(running.status())
                time.sleep(self.poll_seconds)
                running.stop_late()
                running.collect()
            watch(running.status())
        finally:
            stop_all([started.process for started in running.processes], GRACE_SECONDS)

    @cached_property
    def memory_gb(self) -> float:
        """Main memory of this machine or, where it has a limit, of its container; in 2³⁰ bytes."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = Path("/sys/fs/cgroup/memory.max")
        if limit.is_file() and limit.read_text().strip().isdigit():
            memory = min(memory, int(limit.read_text()))
        return memory / 2**30

    def environment(self, job: Job, slot: int) -> dict[str, str]:
        """Returns the environment of a job that is the one numbered ``slot`` of those running."""
        limits = thread_limits(self.jobs, at_most=job.resources.cpus)
        devices = _devices(job.resources, slot, self.gpus)
        return {**os.environ, **limits, **devices, **job.environment}


def _count_gpus() -> int:
    import torch  # seconds, which the rest of this file does not need

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _devices(resources: Resources, slot: int, gpus: int) -> dict[str, str]:
    """Returns the variable that shows a job its own GPUs only; nothing on a machine without any."""
    if not gpus:
        return {}
    first = slot * resources.gpus
    chosen = [str((first + index) % gpus) for index in range(resources.gpus)]
    return {"CUDA_VISIBLE_DEVICES": ",".join(chosen)}


@dataclass
class _Started:
    """A job's process.

    Attributes:
        slot: tells those that run at once apart.
        since: of ``time.monotonic``.
        late: it ran for longer than it may, and was told to stop.
    """

    job: Job
    process: subprocess.Popen
    slot: int
    since: float
    late: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


class _Running:
    """The processes of a run.

    Args:
        executor: whose they are.
        ledger: where jobs wait, and what takes what becomes of them.
    """

    def __init__(self, executor: Local, ledger: Ledger) -> None:
        self.executor, self.ledger = executor, ledger
        self.processes: list[_Started] = []

    def status(self) -> Status:
        return self.ledger.status({one.job.name: one.seconds for one in self.processes})

    def has_place(self) -> bool:
        """Whether the first waiting job can start."""
        waiting = self.ledger.waiting
        if not waiting or len(self.processes) >= self.executor.jobs:
            return False
        together = [waiting[0], *(started.job for started in self.processes)]
        needs = sum(job.resources.memory_gb or 0.0 for job in together)
        return not self.processes or needs <= self.executor.memory_gb

    def start(self) -> None:
        """Starts the first waiting job."""
        taken = {started.slot for started in self.processes}
        slot = min(set(range(self.executor.jobs)) - taken)
        job = self.ledger.waiting.pop(0)
        environment = self.executor.environment(job, slot)
        process = start(job.command, job.log, environment=environment, grace_seconds=GRACE_SECONDS)
        self.processes.append(_Started(job, process, slot, time.monotonic()))

    def stop_late(self) -> None:
        """Tells jobs to stop that run for longer than they may, and ends those that do not."""
        for started in self.processes:
            hours = started.job.resources.hours
            over = started.seconds - 3600 * (math.inf if hours is None else hours)
            if over > GRACE_SECONDS:
                signal_group(started.process, signal.SIGKILL)
            elif over > 0 and not started.late:
                started.late = True
                signal_group(started.process, signal.SIGTERM)

    def collect(self) -> None:
        """Enters what has ended into the ledger."""
        for started in list(self.processes):
            code, job = started.process.poll(), started.job
            if code is None:
                continue
            self.processes.remove(started)
            signal_group(started.process, signal.SIGKILL)  # whatever it left behind
            if started.late and code != 0:
                self.ledger.failed(job, out_of_hours(job.resources.hours))
            else:
                self.ledger.ended(job, code, seconds=started.seconds)
