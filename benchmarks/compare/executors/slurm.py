"""The SLURM executor: the jobs of a comparison as arrays of a cluster's queue.

submitit writes and submits the arrays. Each job notes in its folder under which name SLURM has it,
so a comparison that was killed finds the jobs that live on. This executor asks squeue for all of
them at once, every few seconds.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.compare.executors import slurm_queue
from benchmarks.compare.executors.base import (
    GRACE_SECONDS,
    STOPPED_EXIT_CODE,
    Executor,
    Job,
    Ledger,
    Resources,
    Status,
    Watch,
)
from benchmarks.compare.executors.slurm_node import AGAIN_EXIT_CODE, NodeJob, Place
from benchmarks.compare.executors.slurm_queue import ENDED, FORGOTTEN, Entry
from pretrain.places import import_path

WATCH_SECONDS = 1.0
ABSENCES = 3  # in successive answers, after which SLURM has forgotten a job
LOST_MINUTES = 30.0  # without an answer of SLURM, until this process gives up
ARRAY_TASKS = 1000  # SLURM's own limit, where a cluster does not set another
OWN_OPTIONS = ("array", "error", "job-name", "open-mode", "output", "signal")


@dataclass
class Slurm(Executor):
    """Jobs of a SLURM cluster whose nodes share the comparison's folder and this Python.

    A job that nears its time limit, or is pre-empted, writes a checkpoint and goes on later from
    there. Ctrl-C cancels all jobs; if this process is killed they go on, and the next run of the
    comparison watches them. What a job asks of its node comes from its ``resources``.

    Attributes:
        jobs: at once; an array for each kind of resources has its share, at least one.
        partition: see sbatch; this and the next three: None: what sbatch takes by itself.
        account: see sbatch.
        qos: see sbatch.
        constraint: see sbatch.
        sbatch: further options as one would type them, ``--exclude=node7 --nice=100``. Options for
            GPUs replace the request of GPUs that is made from the resources.
        warning_seconds: before the time limit, in which a job writes its checkpoint.
        restarts: how often a job may go on after its time limit or a pre-emption.
        detach: on Ctrl-C leave the jobs in the queue; running again finds them.
        poll_seconds: between two questions to SLURM.

    Raises:
        ValueError: a number that is too small; a text that is no list of options; no SLURM here, or
            no submitit.
    """

    jobs: int = 8
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    sbatch: str = ""
    warning_seconds: int = 90
    restarts: int = 50
    detach: bool = False
    poll_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name, least in (("jobs", 1), ("warning_seconds", 1), ("restarts", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least {least}")
        if not self.poll_seconds >= 1:
            raise ValueError(f"poll_seconds={self.poll_seconds}: must be at least 1")
        read_options(self.sbatch)
        if shutil.which("sbatch") is None:
            raise ValueError(
                "executor 'slurm': there is no sbatch on the PATH; run this on a machine from "
                "which jobs are submitted"
            )
        _submitit()

    @property
    def at_once(self) -> int:
        """See :class:`Executor`."""
        return self.jobs

    def describe(self) -> str:
        """See :class:`Executor`."""
        where = f"partition {self.partition}" if self.partition else "SLURM's default partition"
        return f"{self.jobs} at once on {where}"

    @classmethod
    def left_behind(cls, directory: Path) -> str:
        """See :class:`Executor`. A machine without SLURM knows of nothing.

        Raises:
            OSError: SLURM does not answer.
        """
        place = Place.of(directory)
        if place is None or shutil.which("squeue") is None:
            return ""
        entry = slurm_queue.queue([place.name]).get(place)
        if entry is None or entry.is_over:
            return ""
        return f"as job {entry.number} of SLURM ({entry.state}): end it by scancel {entry.number}"

    def carry_out(self, ledger: Ledger, watch: Watch) -> None:
        """See :class:`Executor`.

        Raises:
            ValueError: sbatch refuses the jobs.
            OSError: SLURM has not answered for half an hour; the jobs are left as they are.
        """
        jobs = _Jobs(self, ledger)
        with _cancelled_on_error(jobs):
            jobs.adopt()
            jobs.submit_waiting()
            while jobs.open:
                asked = time.monotonic()
                while time.monotonic() - asked < self.poll_seconds:
                    watch(jobs.status())
                    time.sleep(WATCH_SECONDS)
                jobs.look()
                if jobs.free > 0:  # those that are tried again: behind the others
                    jobs.submit_waiting()
            watch(jobs.status())

    def parameters(self, resources: Resources, *, share: int) -> dict[str, Any]:
        """Returns what submitit needs to know of jobs with these resources.

        Args:
            resources: of each job.
            share: how many run at once.
        """
        options = read_options(self.sbatch)
        own = {"requeue": True, "signal": f"USR2@{self.warning_seconds}"}
        cpus = resources.cpus
        setup = [f"export {name}={shlex.quote(value)}" for name, value in import_path().items()]
        parameters = {
            "time": None if resources.hours is None else max(1, round(60 * resources.hours)),
            "mem": None if resources.memory_gb is None else f"{round(1024 * resources.memory_gb)}M",
            "cpus_per_task": cpus,
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "array_parallelism": share,
            "wckey": None,
            "setup": setup,
            "stderr_to_stdout": True,
            "srun_args": [
                "--cpu-bind=none",
                *([] if cpus is None else [f"--cpus-per-task={cpus}"]),
            ],
            "additional_parameters": {**own, **options},
        }
        chosen = any(name.startswith("gpu") or name == "gres" for name in options)
        if resources.gpus and not chosen and slurm_queue.has_gpus(self.partition):
            parameters["gpus_per_node"] = resources.gpus
        return parameters


def read_options(text: str) -> dict[str, str | bool]:
    """Returns options of sbatch, name -> value, or True for those without one.

    Raises:
        ValueError: what is no such option, or one that this executor sets itself.
    """
    options: dict[str, str | bool] = {}
    for part in shlex.split(text):
        name, equals, value = part.removeprefix("--").partition("=")
        if not part.startswith("--") or not name:
            raise ValueError(f"sbatch={text!r}: {part!r} is no option; write --NAME=VALUE")
        if name in OWN_OPTIONS:
            raise ValueError(f"sbatch={text!r}: --{name} is set by the executor; leave it out")
        options[name.replace("-", "_")] = value if equals else True
    return options


def _submitit() -> ModuleType:
    try:
        import submitit
    except ImportError:
        raise ValueError(
            "executor 'slurm' needs submitit: pip install '.[slurm]' in the repository, or "
            "pip install submitit"
        ) from None
    return submitit


@contextmanager
def _cancelled_on_error(jobs: _Jobs) -> Iterator[None]:
    """Inside, an error cancels all jobs, unless SLURM does not answer or the user wants them to
    go on.
    """
    try:
        yield
    except slurm_queue.Unanswered:
        raise
    except BaseException as error:
        if not (jobs.executor.detach and isinstance(error, KeyboardInterrupt)):
            jobs.cancel()
        raise


class _Jobs:
    """The jobs of a run that are in SLURM's hands.

    Args:
        executor: whose they are.
        ledger: where jobs wait, and what takes what becomes of them.
    """

    def __init__(self, executor: Slurm, ledger: Ledger) -> None:
        self.executor, self.ledger = executor, ledger
        self.open: dict[Place, Job] = {}
        self._entries: dict[Place, Entry] = {}  # what SLURM last said of them
        self._answered = time.monotonic()
        self._absent, self._restarts = Counter[Place](), Counter[str]()

    @property
    def free(self) -> int:
        """How many more may be there at once."""
        return self.executor.jobs - len(self.open)

    def status(self) -> Status:
        """Returns where all jobs stand, by SLURM's last answer."""
        passed = time.monotonic() - self._answered
        submitted, running = [], {}
        for place, job in self.open.items():
            entry = self._entries.get(place)
            if entry is not None and entry.is_running:
                running[job.name] = entry.seconds + passed
            else:
                submitted.append(job.name)
        return self.ledger.status(running, submitted)

    def adopt(self) -> None:
        """Takes up jobs that an earlier run has left in SLURM's hands, and enters those that have
        failed since.
        """
        places = {job.name: Place.of(job.directory) for job in self.ledger.waiting}
        names = {place.name for place in places.values() if place is not None}
        self._entries = slurm_queue.queue(names)
        for job in list(self.ledger.waiting):
            place = places[job.name]
            entry = self._entries.get(place)
            code = place.exit_code(job.directory) if place is not None else None
            if entry is not None and not entry.is_over:
                self.ledger.waiting.remove(job)
                self.open[place] = job
            elif code not in (None, 0, STOPPED_EXIT_CODE):
                self.ledger.waiting.remove(job)
                Place.forget(job.directory)
                self.ledger.ended(job, code, seconds=0.0)

    def submit_waiting(self) -> None:
        """Submits what waits, an array for each kind of resources, several if it is long.

        Raises:
            ValueError: sbatch refuses it.
        """
        jobs, self.ledger.waiting[:] = list(self.ledger.waiting), []
        kinds: dict[Resources, list[Job]] = {}
        for job in jobs:
            kinds.setdefault(job.resources, []).append(job)
        free = self.free
        for resources, group in kinds.items():
            for first in range(0, len(group), ARRAY_TASKS):
                part = group[first : first + ARRAY_TASKS]
                share = max(1, free * len(part) // len(jobs))
                self._submit(part, self.executor.parameters(resources, share=share))

    def _submit(self, jobs: Sequence[Job], parameters: Mapping[str, Any]) -> None:
        submitit = _submitit()
        folder = Path(os.path.commonpath([job.directory.absolute() for job in jobs]))
        name = f"{re.sub(r'[^A-Za-z0-9.-]', '_', folder.name)[:40]}-{secrets.token_hex(4)}"
        folder = folder / ".slurm" / name
        node_jobs = []
        for task, job in enumerate(jobs):
            place = Place(name, task, str(folder))
            # Before sbatch: a run that is killed right behind it is to find the job.
            place.write(job.directory)
            self.open[place] = job
            node_jobs.append(_node_job(job, place, restarts=self.executor.restarts))
        submission = submitit.SlurmExecutor(folder)
        submission.update_parameters(job_name=name, **parameters)
        try:
            with submitit.helpers.clean_env():  # this process may be part of a job itself
                submission.map_array(NodeJob.run, node_jobs)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as e:
            raise ValueError(f"sbatch refuses the jobs: {_last_line(str(e))}") from None

    def look(self) -> None:
        """Asks SLURM, and closes what has ended.

        Raises:
            Unanswered: it has not answered for half an hour.
        """
        try:
            self._entries = slurm_queue.queue({place.name for place in self.open})
        except slurm_queue.Unanswered as error:
            if time.monotonic() - self._answered < 60 * LOST_MINUTES:
                return
            raise slurm_queue.Unanswered(
                f"{error}; no answer for {LOST_MINUTES:.0f} minutes. The jobs are left as they "
                "are: run the same command again later"
            ) from None
        self._answered = time.monotonic()
        absent = [place for place in self.open if place not in self._entries]
        known = slurm_queue.accounts({place.name for place in absent}) if absent else {}
        for place, job in list(self.open.items()):
            entry = self._entries.get(place) or known.get(place) or self._unknown(place, job)
            if entry is not None and entry.is_over:
                del self.open[place]
                self._close(job, place, entry)

    def _unknown(self, place: Place, job: Job) -> Entry | None:
        """Returns what a job's folder tells of its end; None: wait whether SLURM remembers it."""
        self._absent[place] += 1
        code = place.exit_code(job.directory)
        if code is None and self._absent[place] < ABSENCES:
            return None
        state = {None: FORGOTTEN, 0: "COMPLETED"}.get(code, "FAILED")
        return Entry("", state, seconds=0.0, exit_code=code or 0, reason="", node="")

    def _close(self, job: Job, place: Place, entry: Entry) -> None:
        """Enters a job that has ended into the ledger."""
        if entry.state == "COMPLETED":
            self.ledger.succeeded(job, entry.seconds)
            return
        asks = entry.state == "FAILED" and entry.exit_code == AGAIN_EXIT_CODE
        again = asks or entry.state == "PREEMPTED"
        if again and self._restarts[job.name] < self.executor.restarts:
            self._restarts[job.name] += 1
            self.ledger.waiting.append(job)
            return
        if entry.state not in ENDED:  # held for ever
            slurm_queue.cancel([entry])
        if place.exit_code(job.directory) is None:
            _append(Path(place.folder) / f"{entry.number}_0_log.out", job.log)
        Place.forget(job.directory)  # it has been entered
        stopped = entry.state == "CANCELLED" or entry.exit_code == STOPPED_EXIT_CODE
        self.ledger.failed(job, entry.describe(), stopped=stopped)

    def cancel(self) -> None:
        """Cancels all jobs and waits until they have ended."""
        deadline = time.monotonic() + 3 * GRACE_SECONDS
        names = {place.name for place in self.open}
        cancelled = False
        while time.monotonic() < deadline:
            entries = slurm_queue.queue(names)
            left = [entry for place, entry in entries.items() if place in self.open]
            left = [entry for entry in left if not entry.is_over]
            if not left:
                return
            if not cancelled:
                slurm_queue.cancel(left)
                cancelled = True
            time.sleep(WATCH_SECONDS)


def _node_job(job: Job, place: Place, *, restarts: int) -> NodeJob:
    return NodeJob(
        place=place,
        directory=job.directory.absolute(),
        command=tuple(job.command),
        environment=dict(job.environment),
        log=job.log.absolute(),
        cpus=job.resources.cpus,
        restarts=restarts,
    )


def _append(source: Path, log: Path) -> None:
    """Appends the end of what a node printed to a job's log: its command may never have run."""
    if not source.is_file():
        return
    lines = source.read_text(errors="replace").splitlines()[-30:]
    with open(log, "a") as file:
        file.write("\n".join(["SLURM's own output:", *lines, ""]))


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no message"
