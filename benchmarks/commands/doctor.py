"""Lists what this machine and its environment have, and what to install."""

from __future__ import annotations

from json import dumps

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext doctor --measure
  pixelpretext doctor --json > doctor.json

exit codes: 0 everything works, 1 a package of the core does not work, 2 a mistake in the arguments,
130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("--measure", action="store_true", help="also measure what bf16 gains (3 s)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(*, measure: bool, json: bool) -> int:
    """Prints what there is; returns 1 if a package of the core does not work."""
    from benchmarks.speed.doctor import report

    findings = report.collect(measure=measure)
    if json:
        print(dumps(findings, indent=2))
    else:
        report.show(findings)
    return 1 if findings["broken"] else 0


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
