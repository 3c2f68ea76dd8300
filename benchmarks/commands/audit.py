"""Checks a comparison's table from outside.

Computes every interval, rank and letter again, from the records alone, with
code that shares nothing with what made the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext audit work_dirs/quickstart
  pixelpretext audit docs/results                   all published tables
  pixelpretext audit docs/results/quickstart        one of them

A folder holds table.json and records.jsonl (or records.jsonl.gz); published results are NAME.json
and records/NAME.jsonl.gz.

exit codes: 0 everything agrees, 1 something does not, 2 a mistake in the arguments or the files,
130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "folders", nargs="+", metavar="DIR", help="folder of a comparison, or published results"
    )


def run(*, folders: Sequence[str]) -> int:
    """Checks each; returns 1 if anything disagrees."""
    from benchmarks.runs.audit import audit, find

    wrong = 0
    for folder in folders:
        for table, records in find(Path(folder)):
            count, disagreements = audit(table, records)
            for line in disagreements:
                print(f"{table}: {line}")
            result = f"{len(disagreements)} disagree" if disagreements else "all agree"
            print(f"{table}: {count} values recomputed from {records.name}: {result}")
            wrong += len(disagreements)
    return 1 if wrong else 0


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
