"""Data that a comparison writes for itself if it is missing."""

from __future__ import annotations

from typing import Any

from benchmarks.compare.names import check_names, plan_errors
from benchmarks.data.prepare.for_comparison import PREPARERS, check_arguments


def check_prepare(steps: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns ``steps``: preparer's name -> its arguments.

    Raises:
        PlanError: an unknown preparer, or arguments that do not fit it.
    """
    check_names("prepare step", steps, PREPARERS)
    with plan_errors():
        for name, arguments in steps.items():
            check_arguments(name, arguments)
    return steps


def prepare(steps: dict[str, dict[str, Any]]) -> None:
    """Runs the preparation of a comparison.

    Raises:
        PlanError: an argument is illegal, an original is missing, or something else lies where the
            data shall be written.
    """
    for name, arguments in steps.items():
        with plan_errors(f"prepare {name}: "):
            PREPARERS[name](**arguments)
