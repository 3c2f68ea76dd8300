"""Compares pretraining objectives under one budget: arms × seeds × benchmarks, one table with
intervals, one page.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/compare.py configs/comparisons/quickstart.py
  python tools/compare.py configs/comparisons/scenes.py --jobs 2          two trials at once
  python tools/compare.py configs/comparisons/scenes.py --only PixPro     that arm alone; the table shows what is there
  python tools/compare.py configs/comparisons/scenes.py --redo PixPro     throw its results away and run it again
  python tools/compare.py configs/comparisons/scenes.py --table-only      run nothing, rebuild table and page

Run again after an interruption, it does only what is missing.

exit codes: 0 done, 1 a trial failed, 2 a mistake in the arguments, the config or the data, 130 interrupted"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("compare", __doc__, examples=EPILOG)
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
    return parser


def run(args: argparse.Namespace) -> int:
    """Loads the plan and runs it; returns 1 if a trial failed."""
    from benchmarks.compare.plan import load_plan
    from benchmarks.compare.run import Options, run_comparison

    options = Options(jobs=args.jobs, redo=args.redo, only=args.only, table_only=args.table_only)
    return run_comparison(load_plan(args.config, args.work_dir), options)


if __name__ == "__main__":
    sys.exit(main(run, command_line(), interrupted="interrupted; the same command again goes on"))
