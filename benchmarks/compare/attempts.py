"""How often a job has failed, and when it is given up.

The count stands in the state of the job's folder, so it is the same whichever executor ran the job,
and from wherever the comparison is run again. It belongs to what was asked for: a folder that is
asked for something else begins anew. Jobs that were stopped have not failed.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.compare.executors.base import Executor, Failure, Job, Status, Watch
from benchmarks.compare.trial_folder import TrialFolder

ATTEMPTS = 3
# How the reasons of jobs begin that somebody stopped: SIGTERM; scancel.
_STOPPED = (f"exit code {128 + signal.SIGTERM}", "CANCELLED")


@dataclass(frozen=True)
class Attempts:
    """The failures of one job, in its folder ``directory``."""

    directory: Path

    @property
    def failed(self) -> int:
        """How often it failed since it was last asked for something else, or succeeded."""
        noted = self._noted()
        return noted["count"] if noted.get("request") == self._request() else 0

    def count(self, reason: str) -> None:
        """Counts a failure and notes its reason."""
        noted = {"count": self.failed + 1, "request": self._request()}
        TrialFolder(self.directory).note(phase="failed", error=reason, failures=noted)

    def forget(self) -> None:
        """Lets the job be tried again as if it had never failed."""
        if self._noted():
            TrialFolder(self.directory).note(failures={})

    def _noted(self) -> dict[str, Any]:
        return TrialFolder(self.directory).state().get("failures", {})

    def _request(self) -> str:
        return TrialFolder(self.directory).request


def is_given_up(job: Job, attempts: int) -> bool:
    """Whether a job has failed so often that it is not tried again by itself."""
    return Attempts(job.directory).failed >= attempts


def run_attempts(
    executor: Executor, jobs: Sequence[Job], watch: Watch, *, attempts: int = ATTEMPTS
) -> list[Failure]:
    """Runs jobs, and those that fail again behind all others; returns the failures that remain.

    Args:
        executor: runs the jobs.
        jobs: as for :meth:`Executor.run`.
        watch: as there; sees all rounds as one.
        attempts: how often a job may fail, earlier runs of the comparison counted.
    """
    by_name = {job.name: job for job in jobs}
    done: dict[str, float] = {}
    final: list[Failure] = []
    while jobs:
        last = Status()
        before = {job.name: Attempts(job.directory).failed for job in jobs}

        def watch_all(status: Status) -> None:
            nonlocal last
            last = status
            failures = [*final, *status.failures]
            watch(replace(status, done={**done, **status.done}, failures=failures))

        failures = executor.run(jobs, watch_all)
        done.update(last.done)
        jobs = []
        for failure in failures:
            job = by_name[failure.name]
            stopped = failure.reason.startswith(_STOPPED)
            if not stopped and Attempts(job.directory).failed == before[job.name]:
                Attempts(job.directory).count(failure.reason)  # it died without a word
            if stopped or is_given_up(job, attempts):
                final.append(failure)
            else:
                jobs.append(job)
    return final
