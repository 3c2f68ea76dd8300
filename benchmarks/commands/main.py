"""The entry point of ``pixelpretext``: finds the command, or lists the commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from itertools import chain

from pretrain.command_line import MISTAKE, Command, execute

GROUPS = {
    "pretrain": ("train", "rescale", "draw-pairs"),
    "evaluate": ("evaluate", "evaluate-cim", "compare"),
    "transfer": ("transfer", "finetune", "robustness"),
    "upsample": ("train-upsampler", "evaluate-upsampler", "pair-upsamplers"),
    "exchange": ("import", "export"),
    "data": ("make-scenes", "prepare-transfer", "unpack-shared"),
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
    lines += ["", "pixelpretext COMMAND --help tells what a command takes and gives examples."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code.

    Args:
        arguments: the command's name and its own arguments, in place of ``sys.argv[1:]``.

    Raises:
        SystemExit: ``COMMAND --help``, or arguments that the command refuses.
        Exception: see :func:`pretrain.command_line.execute`.
    """
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(overview())
        return 0
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        suggestion = f"did you mean {near[0]}? " if near else ""
        print(
            f"pixelpretext: no command {name!r}: {suggestion}pixelpretext --help lists them",
            file=sys.stderr,
        )
        return MISTAKE
    return execute(load(name), name, rest)
