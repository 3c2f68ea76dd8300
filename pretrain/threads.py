"""How many threads a process may start: its share of the cores, never more than the user said."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def usable_cores() -> int:
    """Returns how many cores this process may use: its affinity, cut by a container's quota."""
    known = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    quota_file = Path("/sys/fs/cgroup/cpu.max")
    if quota_file.exists():
        quota, period = quota_file.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def thread_limits(
    processes: int,
    environment: Mapping[str, str] = os.environ,
    *,
    at_most: int | None = None,
) -> dict[str, str]:
    """Returns the variables that limit the threads of each of several processes of this machine.

    A process that believes it owns all cores slows the others down, and a user who says less knows
    why (other people's work on the machine): each gets the smaller of its share of the cores and
    what the user set. ``MKL_NUM_THREADS`` follows ``OMP_NUM_THREADS`` where only that is set.

    Args:
        processes: how many run at once.
        environment: holds the user's values, if any; what is no number above 0 is skipped, as
            OpenMP does.
        at_most: threads of one process, however large its share.
    """
    share = max(1, usable_cores() // processes)
    return limit_threads(min(share, at_most or share), environment)


def limit_threads(threads: int, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns the variables that limit a process to some threads, or to fewer if the user set that.

    Args:
        threads: the process's share of the cores of the machine that it runs on.
        environment: see :func:`thread_limits`.
    """
    openmp = _number(environment.get("OMP_NUM_THREADS", ""))
    mkl = _number(environment.get("MKL_NUM_THREADS", "")) or openmp
    return {
        "OMP_NUM_THREADS": str(min(threads, openmp or threads)),
        "MKL_NUM_THREADS": str(min(threads, mkl or threads)),
    }


def _number(text: str) -> int | None:
    """The first of OpenMP's list of one number per level of nesting; None for anything else."""
    first = text.split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None
