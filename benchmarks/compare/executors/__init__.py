"""Executors: what runs the jobs of a comparison, and where.

:mod:`base` has the contract. An executor is one file here and its line in ``EXECUTORS``, or a
module anywhere that ends in ``EXECUTOR = ItsClass``; the fields of its class are its options.
``docs/adding_an_executor.md`` shows how.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.compare.executors.base import Executor
from benchmarks.compare.executors.local import Local
from benchmarks.compare.executors.ray import Ray
from benchmarks.compare.executors.slurm import Slurm
from pretrain.annotations import build
from pretrain.names import find_declared

EXECUTORS: dict[str, type[Executor]] = {
    "local": Local,
    "slurm": Slurm,
    "ray": Ray,
}


def find_executor(name: str) -> type[Executor]:
    """Returns an executor by its short name or its module's dotted name.

    Raises:
        ValueError: neither; with a suggestion.
    """
    kind = find_declared("executor", name, EXECUTORS, attribute="EXECUTOR")
    if not (isinstance(kind, type) and issubclass(kind, Executor)):
        raise ValueError(
            f"executor {name!r}: the module must end in EXECUTOR = a class derived from Executor "
            "of benchmarks.compare.executors.base, see docs/adding_an_executor.md"
        )
    return kind


def make_executor(name: str, options: Mapping[str, Any]) -> Executor:
    """Returns the executor of that name.

    Args:
        name: of ``EXECUTORS``, or of a module.
        options: fields of its class.

    Raises:
        ValueError: an unknown name, an unknown option, or an illegal value of one.
    """
    return build(find_executor(name), options, where=f"executor {name!r}: ")
