"""Tells what this machine and its environment have, what is missing, and what to install."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/doctor.py --measure
  python tools/doctor.py --json > doctor.json

exit codes: 0 all is well, 1 a package of the core does not work, 2 a mistake in the arguments, 130 interrupted"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("doctor", __doc__, examples=EPILOG)
    parser.add_argument("--measure", action="store_true", help="also measure what bf16 gains (3 s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def run(args: argparse.Namespace) -> int:
    """Prints what there is; returns 1 if a package of the core does not work."""
    from benchmarks.doctor import report

    found = report.collect(measure=args.measure)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        report.show(found)
    return 1 if found["broken"] else 0


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
