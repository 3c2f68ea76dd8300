"""Compares pretraining objectives under one budget.

Arms × seeds × benchmarks, one table with intervals, one page.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.executors import EXECUTORS, make_executor
from pretrain.command_line import Command, CommandLine, read_pairs

EXAMPLES = """examples:
  pixelpretext compare comparisons/quickstart
  pixelpretext compare comparisons/scenes --jobs 2          two trials at once
  pixelpretext compare comparisons/scenes --executor-options gpus=2     on two of the GPUs
  pixelpretext compare comparisons/scenes --executor slurm --executor-options partition=gpu jobs=16
                                                            as jobs of a cluster
  pixelpretext compare comparisons/scenes --executor ray --executor-options address=auto
                                                            as tasks of a Ray cluster
  pixelpretext compare comparisons/scenes --only PixPro     only that arm; the table shows all
                                                            results so far
  pixelpretext compare comparisons/scenes --redo PixPro     discard its results, run it again
  pixelpretext compare comparisons/scenes --table-only      run nothing, rebuild table and page
  pixelpretext compare comparisons/scenes --retry           try again what failed three times
  pixelpretext compare comparisons/scenes --forecast        say first how long it will take
  pixelpretext compare status work_dirs/scenes              what runs, waits, is done, has failed

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
        help=f"what runs the trials: {', '.join(EXECUTORS)}, or the dotted name of a module, see "
        "docs/adding_an_executor.md (default: local, on this machine)",
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
    parser.add_argument(
        "--attempts",
        type=int,
        default=3,
        help="how often a trial may fail until it is given up and the rest goes on (default: 3)",
    )
    parser.add_argument("--retry", action="store_true", help="try those again that were given up")
    parser.add_argument("--forecast", action="store_true", help="say first how long it will take")


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
    attempts: int,
    retry: bool,
    forecast: bool,
) -> int:
    """Loads the plan and runs it; returns 1 if a trial failed."""
    from benchmarks.compare.plan import load_plan
    from benchmarks.compare.run import Options, run_comparison

    settings = read_executor_options(executor_options, jobs=jobs)
    options = Options(
        executor=make_executor(executor, settings),
        redo=redo,
        only=only,
        table_only=table_only,
        attempts=attempts,
        retry=retry,
        forecast=forecast,
    )
    return run_comparison(load_plan(config, work_dir), options)


def read_executor_options(items: Sequence[str], *, jobs: int | None) -> dict[str, Any]:
    """Returns the settings of the executor, ``--jobs`` among them.

    Raises:
        ValueError: an item without a value; a key that is given twice, ``--jobs`` counted.
    """
    from pretrain.specs import literal

    if jobs is not None:
        items = [*items, f"jobs={jobs}"]
    return read_pairs(items, option="--executor-options", example="gpus=2", parse=literal)


STATUS_EXAMPLES = """examples:
  pixelpretext compare status work_dirs/scenes              what runs, waits, is done, has failed
  pixelpretext compare status work_dirs/scenes --watch      until all is done
  pixelpretext compare status work_dirs/scenes --line       one line, for scripts
  pixelpretext compare status work_dirs/scenes --json       all of it as one line of JSON

exit codes: 0 printed, 2 the folder holds no comparison, 130 interrupted"""


def add_status_arguments(parser: CommandLine) -> None:
    """Declares what ``compare status`` takes."""
    parser.add_argument("directory", help="folder of a comparison, its --work-dir")
    parser.add_argument("--watch", action="store_true", help="print again until all is done")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument(
        "--line", dest="form", action="store_const", const="line", help="print one line"
    )
    forms.add_argument(
        "--json", dest="form", action="store_const", const="json", help="print one line of JSON"
    )


def run_status(*, directory: str, watch: bool, form: str | None) -> None:
    """Prints where a comparison stands, from its folder alone."""
    from rich.console import Console

    from benchmarks.compare import status

    if watch:
        status.watch(Path(directory), console=Console(), form=form or "screen")
    else:
        now = status.snapshot(Path(directory))
        status.show(now, console=Console(), form=form or "screen")


STATUS = Command(
    description="""Tells what of a comparison runs, waits, is done or has failed.

Reads its folder alone: works on every machine that sees it, also while nobody runs it.""",
    examples=STATUS_EXAMPLES,
    add_arguments=add_status_arguments,
    run=run_status,
)
COMMAND = Command(
    description=__doc__,
    examples=EXAMPLES,
    add_arguments=add_arguments,
    run=run,
    continues=True,
    further={"status": STATUS},
)
