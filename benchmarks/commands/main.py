"""The entry point of ``pixelpretext``: finds the command, or lists the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import chain

from pretrain import places
from pretrain.command_line import Command, execute, exit_code_of
from pretrain.names import suggestion

PROGRAM = "pixelpretext"
GROUPS = {
    "pretrain": ("train", "rescale", "aligned-start", "draw-pairs"),
    "evaluate": ("evaluate", "analyse", "fit-place", "evaluate-cim", "compare", "post-train"),
    "transfer": ("transfer", "finetune", "robustness"),
    "upsample": ("train-upsampler", "evaluate-upsampler", "pair-upsamplers", "league"),
    "exchange": ("import", "export"),
    "data": ("make-scenes", "prepare-transfer", "prepare-data"),
    "records": ("runs", "reproduce", "audit", "backbones"),
    "care": ("doctor", "build-operators", "build-mmcv"),
}
COMMANDS = tuple(chain.from_iterable(GROUPS.values()))


def load(name: str) -> Command:
    """Returns a command by its name, one of :data:`COMMANDS`."""
    return import_module(f"benchmarks.commands.{name.replace('-', '_')}").COMMAND


def overview() -> str:
    """Returns the list of commands, one line each."""
    lines = ["usage: pixelpretext COMMAND …", "", "Pixel-level self-supervised objectives."]
    for group, names in GROUPS.items():
        lines += ["", group]
        lines += [f"  {name:<20}{load(name).summary}" for name in names]
    lines += ["", "pixelpretext COMMAND --help explains a command's arguments and gives examples."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    Args:
        arguments: the command's name and its own arguments, in place of ``sys.argv[1:]``.

    Raises:
        SystemExit: ``COMMAND --help``, or arguments that the command refuses.
        Exception: see :func:`pretrain.command_line.exit_code_of`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    name, *rest = given or ["--help"]
    if name in COMMANDS:
        return execute(load(name), name, rest)
    return exit_code_of(lambda: _answer(name), PROGRAM)


def _answer(name: str) -> None:
    """Answers what is no command: a question, or a mistake."""
    if name in ("-h", "--help", "help"):
        print(overview())
    elif name == "--version":
        print(PROGRAM, places.version())
    else:
        raise ValueError(
            f"there is no command {name!r}{suggestion(name, COMMANDS)}; --help lists them"
        )
