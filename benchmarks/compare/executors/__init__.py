"""Executors: what runs the jobs of a comparison, and where.

:mod:`base` has the contract. An executor is one file here and its line in ``EXECUTORS``; the fields
of its class are its options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.compare.executors.base import Executor
from benchmarks.compare.executors.local import Local
from benchmarks.compare.executors.ray import Ray
from benchmarks.compare.executors.slurm import Slurm
from pretrain.annotations import build
from pretrain.names import check_choice

EXECUTORS: dict[str, type[Executor]] = {
    "local": Local,
    "slurm": Slurm,
    "ray": Ray,
}


def make_executor(name: str, options: Mapping[str, Any]) -> Executor:
    """Returns the executor of that name.

    Args:
        name: of ``EXECUTORS``.
        options: fields of its class.

    Raises:
        ValueError: an unknown name, an unknown option, or an illegal value of one.
    """
    check_choice("executor", name, EXECUTORS)
    return build(EXECUTORS[name], options, where=f"executor {name!r}: ")
