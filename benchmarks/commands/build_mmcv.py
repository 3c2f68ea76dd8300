"""Compiles mmcv once, keeps its wheel and installs it; transfer needs it."""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """example:
  pixelpretext build-mmcv --rebuild

exit codes: 0 done, 1 mmcv cannot be installed, 2 a mistake in the arguments, 130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("--quiet", action="store_true", help="say nothing if it is installed")
    parser.add_argument(
        "--check", action="store_true", help="install nothing, report what transfer lacks"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="compile it again, even if it is installed or kept"
    )


def run(*, quiet: bool, check: bool, rebuild: bool) -> int:
    """Installs, or only checks."""
    from benchmarks.mm.mmcv_wheel import install

    return install(quiet=quiet, check=check, rebuild=rebuild)


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
