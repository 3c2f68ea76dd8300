"""Compiles the operators of feature upsampling for this machine.

Without them, plain torch computes the same results more slowly.
"""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """example:
  pixelpretext build-operators --cuda

exit codes: 0 done, 1 something could not be compiled, 2 a mistake in the arguments,
130 interrupted"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "--cuda", action="store_true", help="also for CUDA, even if no GPU is found (a minute)"
    )
    parser.add_argument("--force", action="store_true", help="also compile what is already there")
    parser.add_argument(
        "--quiet", action="store_true", help="print only what was compiled and what failed"
    )


def run(*, cuda: bool, force: bool, quiet: bool) -> int:
    """Compiles."""
    from heads.upsamplers.build import build_all

    return build_all(cuda=cuda, force=force, quiet=quiet)


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
