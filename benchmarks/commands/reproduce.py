"""Runs a record again and says whether its numbers came back.

From what its folder stored, pretraining included where the record is a trial's; the versions
that differ are named.
"""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext reproduce work_dirs/quickstart/PixPro/seed_0       a trial, all its benchmarks
  pixelpretext reproduce work_dirs/quickstart/records.jsonl:3     third record of a comparison
  pixelpretext reproduce work_dirs/quickstart/PixPro/seed_0 --evaluation   measure its network again
  pixelpretext reproduce work_dirs/quickstart/baselines/majority/retrieval
  pixelpretext reproduce work_dirs/evaluations.jsonl:1            one of pixelpretext evaluate

A number came back if it is the same, or lies within the 95 % interval of its arm in the
comparison's table; without one, within that of the record over its images.

exit codes: 0 every number came back, 1 one did not, 2 a mistake in the arguments or something
that the repetition needs is missing, 130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "record", help="folder of a trial or a baseline, or FILE:N, the N-th record of a file"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="new folder (default: work_dirs/reproduced/NAME)"
    )
    parser.add_argument(
        "--evaluation",
        action="store_true",
        help="keep the trained network and repeat the measurement alone",
    )


def run(*, record: str, out: str | None, evaluation: bool) -> int:
    """Repeats it; returns 1 if a number did not come back."""
    from benchmarks.runs.reproduce import reproduce

    return 0 if reproduce(record, out=out, evaluation=evaluation) else 1


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
