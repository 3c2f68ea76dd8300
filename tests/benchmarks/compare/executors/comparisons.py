"""Toy comparisons by an executor, in this process or in one that is killed."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare.executors.base import Executor
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from tests.benchmarks.compare.executors.counters import ROOT

# Arguments: an executor, its options as JSON, the comparison, the trainer's command.
CONTROLLER = """
import json, sys
from benchmarks.compare.executors import make_executor
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
executor = make_executor(sys.argv[1], json.loads(sys.argv[2]))
options = Options(executor=executor, trainer=sys.argv[4:])
run_comparison(load_plan(sys.argv[3], "out"), options)
"""


def start_comparison(
    executor: str,
    options: Mapping[str, Any],
    *,
    path: Path,
    trainer: Sequence[str],
    variables: Mapping[str, str] = os.environ,
) -> subprocess.Popen:
    """Runs a comparison in ``out``, in a process of its own.

    Args:
        executor: name.
        options: of the executor.
        path: of the comparison.
        trainer: command.
        variables: the process's environment.
    """
    paths = os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, executor, json.dumps(options), str(path), *trainer],
        env={**variables, "PYTHONPATH": paths},
        stdout=subprocess.DEVNULL,
    )


def compare(
    path: Path, trainer: Sequence[str], executor: Executor, *, folder: str = "out", **options: Any
) -> tuple[int, str]:
    """Runs a comparison; returns exit code and what was printed."""
    out = io.StringIO()
    console = Console(file=out, width=200)
    chosen = Options(executor=executor, trainer=trainer, console=console, **options)
    return run_comparison(load_plan(path, folder), chosen), out.getvalue()


def scores(folder: str = "out") -> list[tuple[Any, ...]]:
    """What a comparison's table says, times left out."""
    table = json.loads(Path(folder, "table.json").read_text())
    return [(row["arm"], row["toy.score"], row["samples"]) for row in table["rows"]]


def calls(folder: Path) -> list[str]:
    """Arms and seeds that the trainer was called for, in alphabetical order."""
    lines = (folder / "calls.txt").read_text().splitlines()
    return sorted("/".join(Path(line.split()[0]).parts[-3:-1]) for line in lines)


def steps(*arms: str) -> list[Path]:
    """Files that the trainers of some arms write, with seed 0, when they train."""
    return [Path("out", arm, "seed_0/pretrain/step.json") for arm in arms]
