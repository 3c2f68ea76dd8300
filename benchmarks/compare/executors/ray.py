"""The Ray executor: each job is a task of Ray, on this machine or on a cluster.

Ray decides where and when a task starts, from the resources of its job. The worker that gets it
runs the command, see :mod:`ray_task`. Tasks belong to this process: when it ends, however it ends,
Ray ends its workers and they end their commands.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.compare.executors import processes, ray_task
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
from pretrain.threads import limit_threads, usable_cores

OBJECT_STORE_BYTES = 80 * 2**20  # Ray's least: tasks return a line of text
NOTE = ".ray"  # in a job's directory; ray_task.py writes it


@dataclass
class Ray(Executor):
    """Tasks of Ray; all its nodes must share the comparison's folders and this Python.

    A job that names no cores gets so many that ``jobs`` of them fit, or one job per GPU, or, on
    nodes without any, per core; memory and GPUs are reserved as its resources say. A job whose
    worker or node dies has failed, as has one that is stopped because it is not done after its
    ``hours``: tried again, it goes on from its checkpoint.

    Attributes:
        address: of a running Ray: ``auto`` for one that this machine is part of, or ``HOST:PORT``.
            None: ``RAY_ADDRESS``, and without that a Ray of its own on this machine, which ends
            with this process. A process that is connected to Ray stays so.
        jobs: at most so many at once; None: as many as Ray has resources for.
        temp_dir: where a Ray of its own keeps sockets and logs, a short path; None: a folder that
            ends with this process.
        poll_seconds: between two looks at the tasks.

    Raises:
        ValueError: a number that is too small, or the package ``ray`` is missing.
    """

    address: str | None = None
    jobs: int | None = None
    temp_dir: str | None = None
    poll_seconds: float = 0.5

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise ValueError(f"jobs={self.jobs}: must be at least 1")
        if importlib.util.find_spec("ray") is None:
            raise ValueError(
                "executor 'ray' needs ray: pip install '.[ray]' in the repository, or "
                "pip install ray"
            )

    @property
    def at_once(self) -> int:
        """See :class:`Executor`.

        Raises:
            ValueError: no Ray at the address.
        """
        nodes = _nodes(self._connect())
        gpus = 1 if any(node.gpus for node in nodes) else 0
        return self.jobs or max(1, _places(nodes, Request(1, gpus)))

    def describe(self) -> str:
        """See :class:`Executor`.

        Raises:
            ValueError: no Ray at the address.
        """
        nodes = _nodes(self._connect())
        cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
        size = f"{len(nodes)} node{'s' * (len(nodes) > 1)}, {cpus} cores, {gpus} GPUs"
        return f"{self.at_once} at once on Ray ({size})"

    def carry_out(self, ledger: Ledger, watch: Watch) -> None:
        """See :class:`Executor`.

        Raises:
            ValueError: no Ray at the address; a job needs more than any of its nodes has.
        """
        tasks = _Tasks(self, self._connect(), ledger)
        try:
            while ledger.waiting or tasks.open:
                tasks.submit()
                watch(tasks.status())
                tasks.collect()
            watch(tasks.status())
        finally:
            tasks.cancel()

    def require(self, resources: Resources, name: str = "a trial") -> None:
        """See :class:`Executor`.

        Raises:
            ValueError: no Ray at the address; no node has as much.
        """
        self.request(resources, name, nodes=_nodes(self._connect()))

    def request(self, resources: Resources, name: str, *, nodes: Sequence[Node]) -> Request:
        """Returns what Ray is asked for.

        Raises:
            ValueError: no node has as much.
        """
        gpus = resources.gpus if any(node.gpus for node in nodes) else 0
        memory = int((resources.memory_gb or 0) * 2**30)
        cpus = resources.cpus or _share(nodes, Request(1, gpus, memory), self.jobs)
        request = Request(cpus, gpus, memory)
        if not _places(nodes, request):
            raise ValueError(f"{name} needs {_words(request)}; no node of this Ray has as much")
        return request

    def _connect(self) -> ModuleType:
        """Returns the module ``ray``, connected.

        Raises:
            ValueError: no Ray at the address, or it could not be started.
        """
        ray = importlib.import_module("ray")
        if ray.is_initialized():
            return ray
        address = self.address or os.environ.get("RAY_ADDRESS")
        options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address is None:
            options.update(
                num_cpus=usable_cores(),
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                _temp_dir=self.temp_dir or _temporary_folder(ray),
            )
        try:
            ray.init(address or "local", **options)
        except (OSError, RuntimeError, ValueError) as error:
            place = f"no Ray at {address!r}" if address else "no Ray could be started here"
            raise ValueError(f"executor 'ray': {place}: {_first_line(error)}") from error
        for module in (processes, ray_task):
            ray.cloudpickle.register_pickle_by_value(module)
        return ray


@dataclass(frozen=True)
class Node:
    """What a node of Ray has; ``memory`` in bytes."""

    cpus: int
    gpus: int
    memory: int


@dataclass(frozen=True)
class Request:
    """What a task reserves; ``memory`` in bytes."""

    cpus: int
    gpus: int
    memory: int = 0


def _nodes(ray: ModuleType) -> list[Node]:
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Node(*(int(r.get(name, 0)) for name in ("CPU", "GPU", "memory"))) for r in alive]


def _places(nodes: Sequence[Node], request: Request) -> int:
    """Returns how many tasks with this request fit at once."""
    places = 0
    for node in nodes:
        pairs = (
            (node.cpus, request.cpus),
            (node.gpus, request.gpus),
            (node.memory, request.memory),
        )
        places += min(has // needs for has, needs in pairs if needs)
    return places


def _share(nodes: Sequence[Node], least: Request, jobs: int | None) -> int:
    """Returns the most cores per task with which as many run at once as with one core each.

    Args:
        nodes: of Ray.
        least: a request of one core.
        jobs: that run at once, if that is fewer.
    """
    places = _places(nodes, least)
    wanted = max(1, min(places, jobs or places))
    cpus = max(node.cpus for node in nodes)
    while cpus > 1 and _places(nodes, Request(cpus, least.gpus, least.memory)) < wanted:
        cpus -= 1
    return max(1, cpus)


def _words(request: Request) -> str:
    memory = f", memory_gb={request.memory / 2**30:g}" if request.memory else ""
    return f"cpus={request.cpus}, gpus={request.gpus}{memory}"


def _temporary_folder(ray: ModuleType) -> str:
    """Makes a folder for a Ray of this process alone, which is deleted when the process ends."""
    # Ray puts sockets there, and the system limits their paths to 107 bytes.
    short = len(tempfile.gettempdir().encode()) <= 20
    folder = tempfile.mkdtemp(prefix="ray-", dir=None if short else "/tmp")

    def remove() -> None:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(remove)
    return folder


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@dataclass
class _Task:
    """A job in Ray's hands; ``since`` is of ``time.monotonic``: when it was submitted or, once
    ``running``, when it was seen to have started.
    """

    job: Job
    reference: Any
    token: str
    since: float
    running: bool = False

    def look(self) -> None:
        """Notices whether the command has started."""
        if self.running:
            return
        with suppress(OSError):
            if (self.job.directory / NOTE).read_text() == self.token:
                self.running, self.since = True, time.monotonic()


class _Tasks:
    """The jobs of a run that are in Ray's hands.

    Args:
        executor: whose they are.
        ray: the module, connected.
        ledger: where jobs wait, and what takes what becomes of them.
    """

    def __init__(self, executor: Ray, ray: ModuleType, ledger: Ledger) -> None:
        self.executor, self.ledger, self.open = executor, ledger, list[_Task]()
        self._ray, self._nodes = ray, _nodes(ray)
        self._submit = ray.remote(ray_task.carry_out)

    def status(self) -> Status:
        """Returns where all jobs stand."""
        for task in self.open:
            task.look()
        now = time.monotonic()
        running = {task.job.name: now - task.since for task in self.open if task.running}
        submitted = [task.job.name for task in self.open if not task.running]
        return self.ledger.status(running, submitted)

    def submit(self) -> None:
        """Submits what waits, as far as ``jobs`` allows; Ray starts tasks in this order."""
        waiting = self.ledger.waiting
        while waiting and len(self.open) < (self.executor.jobs or len(self.open) + 1):
            job, token = waiting.pop(0), secrets.token_hex(8)
            request = self.executor.request(job.resources, job.name, nodes=self._nodes)
            reference = self._submit.options(
                name=job.name,
                num_cpus=request.cpus,
                num_gpus=request.gpus,
                memory=request.memory or None,
                max_retries=0,  # the ledger does that, and counts
                scheduling_strategy="SPREAD",
            ).remote(_order(job, request, token))
            self.open.append(_Task(job, reference, token, time.monotonic()))

    def collect(self) -> None:
        """Waits a moment and closes what has ended."""
        references = [task.reference for task in self.open]
        ended, _ = self._ray.wait(references, timeout=self.executor.poll_seconds)
        for task in list(self.open):
            if task.reference in ended:
                self.open.remove(task)
                self._close(task)

    def _close(self, task: _Task) -> None:
        """Enters a task that has ended into the ledger."""
        errors, job = self._ray.exceptions, task.job
        try:
            ending = self._ray.get(task.reference)
        except errors.RayTaskError as error:
            self.ledger.failed(job, _first_line(error.cause))
        except errors.RayError as error:
            self.ledger.failed(job, f"lost its worker or node: {_first_line(error)}")
        else:
            seconds = time.monotonic() - task.since
            if ending.problem:
                self.ledger.failed(job, ending.problem)
            elif ending.late and ending.code != 0:
                self.ledger.failed(job, out_of_hours(job.resources.hours))
            else:
                self.ledger.ended(job, ending.code, seconds=seconds, where=ending.host)

    def cancel(self) -> None:
        """Cancels what has not ended, and waits until it has."""
        references = [task.reference for task in self.open]
        for reference in references:
            self._ray.cancel(reference)
        if references:
            # A worker gives its command the same seconds before SIGKILL.
            self._ray.wait(references, num_returns=len(references), timeout=GRACE_SECONDS + 10)


def _order(job: Job, request: Request, token: str) -> ray_task.Order:
    variables = {**os.environ, **limit_threads(request.cpus), **job.environment}
    directory, hours = job.directory.absolute(), job.resources.hours
    return ray_task.Order(
        command=tuple(job.command),
        folder=Path.cwd(),
        log=directory / job.log.name,
        environment=variables,
        gpus=request.gpus,
        note=directory / NOTE,
        token=token,
        grace_seconds=GRACE_SECONDS,
        seconds=None if hours is None else 3600 * hours,
    )
