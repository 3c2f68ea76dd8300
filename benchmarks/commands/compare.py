"""Compares pretraining objectives under one budget.

Arms × seeds × benchmarks, one table with intervals, one page.
"""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext compare configs/comparisons/quickstart.py
  pixelpretext compare configs/comparisons/scenes.py --jobs 2          two trials at once
  pixelpretext compare configs/comparisons/scenes.py --only PixPro     that arm alone; the table shows what is there
  pixelpretext compare configs/comparisons/scenes.py --redo PixPro     throw its results away and run it again
  pixelpretext compare configs/comparisons/scenes.py --table-only      run nothing, rebuild table and page

Run again after an interruption, it does only what is missing.

exit codes: 0 done, 1 a trial failed, 2 a mistake in the arguments, the config or the data, 130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("config", help="comparison config, see docs/comparing.md")
    parser.add_argument(
        "--work-dir", help="folder of everything it makes (default: work_dirs/<config name>)"
    )
    parser.add_argument(
        "--jobs", type=int, help="trials at once (default: one per GPU, else one per core)"
    )
    parser.add_argument(
        "--redo",
        action="append",
        default=[],
        metavar="ARM",
        help="throw this arm's results away first; may be repeated",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="ARM",
        help="run this arm alone; may be repeated",
    )
    parser.add_argument(
        "--table-only", action="store_true", help="run nothing, rebuild table, pictures and page"
    )


def run(
    *, config: str, work_dir: str | None, jobs: int | None, redo: list, only: list, table_only: bool
) -> int:
    """Loads the plan and runs it; returns 1 if a trial failed."""
    from benchmarks.compare.plan import load_plan
    from benchmarks.compare.run import Options, run_comparison

    options = Options(jobs=jobs, redo=redo, only=only, table_only=table_only)
    return run_comparison(load_plan(config, work_dir), options)


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
