"""Compares pretraining objectives under one budget.

Arms × seeds × benchmarks, one table with intervals, one page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.compare.executors import EXECUTORS, make_executor
from pretrain.command_line import Command, CommandLine, read_pairs

EXAMPLES = """examples:
  pixelpretext compare comparisons/quickstart
  pixelpretext compare comparisons/scenes --jobs 2          two trials at once
  pixelpretext compare comparisons/scenes --executor-options gpus=2     on two of the GPUs
  pixelpretext compare comparisons/scenes --executor slurm --executor-options partition=gpu jobs=16
                                                            as jobs of a cluster
  pixelpretext compare comparisons/scenes --only PixPro     only that arm; the table shows all
                                                            results so far
  pixelpretext compare comparisons/scenes --redo PixPro     discard its results, run it again
  pixelpretext compare comparisons/scenes --table-only      run nothing, rebuild table and page

If you run it again after an interruption, it does only what is missing.

exit codes: 0 done, 1 a trial failed, 2 a mistake in the arguments, the config or the data,
130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("config", help="comparison config, see docs/comparing.md")
    parser.add_argument(
        "--work-dir", help="folder for everything it writes (default: work_dirs/<config name>)"
    )
    parser.add_argument(
        "--executor",
        default="local",
        metavar="NAME",
        help=f"what runs the trials: {', '.join(EXECUTORS)} (default: local, on this machine)",
    )
    parser.add_argument(
        "--executor-options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings of the executor, such as gpus=2; docs/comparing.md lists them",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        help="trials at once (default: one per GPU, else one per core; on SLURM 8)",
    )
    parser.add_argument(
        "--redo",
        action="append",
        default=[],
        metavar="ARM",
        help="discard this arm's results first; may be repeated",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ARM",
        help="run only this arm; may be repeated",
    )
    parser.add_argument(
        "--table-only", action="store_true", help="run nothing, rebuild table, pictures and page"
    )


def run(
    *,
    config: str,
    work_dir: str | None,
    executor: str,
    executor_options: Sequence[str],
    jobs: int | None,
    redo: Sequence[str],
    only: Sequence[str],
    table_only: bool,
) -> int:
    """Loads the plan and runs it; returns 1 if a trial failed."""
    from benchmarks.compare.plan import load_plan
    from benchmarks.compare.run import Options, run_comparison

    settings = read_executor_options(executor_options, jobs=jobs)
    options = Options(
        executor=make_executor(executor, settings), redo=redo, only=only, table_only=table_only
    )
    return run_comparison(load_plan(config, work_dir), options)


def read_executor_options(items: Sequence[str], *, jobs: int | None) -> dict[str, Any]:
    """Returns the settings of the executor, ``--jobs`` among them.

    Raises:
        ValueError: an item without a value; a key that is given twice, ``--jobs`` counted.
    """
    from benchmarks.core.extractor import literal

    if jobs is not None:
        items = [*items, f"jobs={jobs}"]
    return read_pairs(items, option="--executor-options", example="gpus=2", parse=literal)


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
