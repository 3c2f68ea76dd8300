"""What all command lines share: one parser, one rule for mistakes, one set of exit codes.

A mistake of the user (``ValueError`` and its subclasses, ``OSError``) and a lack of memory are one
sentence on stderr that begins with the command's name, and exit code 2. Every other exception is a
bug and keeps its traceback, exit code 1. With ``PIXELPRETEXT_TRACEBACK=1`` mistakes keep theirs as
well.
"""

from __future__ import annotations

import argparse
import os
import re
import select
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pretrain.places import checkout

# Exit codes; the last two are what shells show for SIGINT and SIGPIPE.
MISTAKE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
EXIT_CODES = (
    "exit codes: 0 done, 2 a mistake in the arguments, the config or the data, 130 interrupted, "
    "1 a bug"
)


class AddValues(argparse.Action):
    """An option with several values: given again, its values are added; the default counts only
    where it is absent.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        present = getattr(namespace, self.dest)
        before = [] if present is None or present is self.default else present
        setattr(namespace, self.dest, [*before, *values])


class _Listing(argparse.Action):
    """Prints ``text()`` and ends the program; leaves no value behind."""

    def __init__(self, *args: Any, text: Callable[[], str], **options: Any) -> None:
        super().__init__(*args, **options, default=argparse.SUPPRESS)
        self.text = text

    def __call__(self, parser: argparse.ArgumentParser, *values: Any) -> NoReturn:
        print(self.text())
        parser.exit()


class CommandLine(argparse.ArgumentParser):
    """The parser of one command: a description, examples below the options, and mistakes as one
    sentence.

    Args:
        command: its name, with which every message begins.
        description: what the command does, usually its module's docstring.
        examples: text below the options; the exit codes follow unless it speaks of them itself.
            Commands are written ``pixelpretext NAME``, see :func:`as_typed`.
        program: how it is started, if not as ``pixelpretext NAME``.
    """

    def __init__(
        self, command: str, description: str | None, *, examples: str, program: str = ""
    ) -> None:
        epilog = examples if "xit code" in examples else f"{examples}\n\n{EXIT_CODES}"
        super().__init__(
            prog=program or as_typed(f"pixelpretext {command}"),
            description=description,
            epilog=as_typed(epilog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.command = command

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:
        """See :class:`argparse.ArgumentParser`; options with several values add up, see
        :class:`AddValues`.
        """
        several = options.get("nargs") in ("+", "*") or isinstance(options.get("nargs"), int)
        if several and names[0].startswith("-"):
            options.setdefault("action", AddValues)
        if options.get("help"):
            options["help"] = as_typed(options["help"])
        return super().add_argument(*names, **options)

    def error(self, message: str) -> NoReturn:
        """Ends the program with one sentence."""
        self.exit(MISTAKE, f"{self.command}: {message} (--help lists what is legal)\n")

    def add_listing(self, name: str, text: Callable[[], str], *, help: str) -> None:
        """An option that prints a text and ends the program, as ``--help`` does."""
        self.add_argument(name, action=_Listing, nargs=0, text=text, help=help)

    def add_device(self) -> None:
        """``--device``."""
        self.add_argument("--device", help="cuda, cpu, … (default: cuda if there is one)")

    def add_weights(self) -> None:
        """``--weights``."""
        self.add_argument(
            "--weights",
            default="online",
            choices=("online", "target"),
            help="which network of our checkpoints (default: online)",
        )

    def add_launcher(self) -> None:
        """``--launcher``."""
        self.add_argument(
            "--launcher",
            default="auto",
            choices=("auto", "none", "pytorch", "slurm"),
            help="who started the processes (default: auto, read from the environment)",
        )

    def add_cfg_options(self, *, example: str) -> None:
        """``--cfg-options``, with an example of settings for the help text."""
        self.add_argument(
            "--cfg-options",
            nargs="+",
            default=[],
            metavar="KEY=VALUE",
            help=f"settings to override, such as {example}",
        )

    def add_seeds(self) -> None:
        """``--seeds``."""
        self.add_argument(
            "--seeds",
            nargs="+",
            type=int,
            default=[0],
            metavar="SEED",
            help="fine-tune once with each (default: 0)",
        )


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command as its module declares it.

    Attributes:
        description: what it does; the first line stands in the list of commands.
        examples: text below the options of ``--help``, see :class:`CommandLine`.
        add_arguments: declares the arguments.
        run: gets their values by keyword; returns an exit code, None for 0.
        continues: the same command again goes on where it was interrupted.
        program: how it is started, if not as ``pixelpretext NAME``.
        further: commands that a first argument of their name calls instead.
    """

    description: str
    examples: str
    add_arguments: Callable[[CommandLine], None]
    run: Callable[..., int | None]
    continues: bool = False
    program: str = ""
    further: Mapping[str, Command] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The description's first line."""
        return self.description.splitlines()[0]

    def parser(self, name: str) -> CommandLine:
        """Returns the parser; messages begin with ``name``."""
        parser = CommandLine(name, self.description, examples=self.examples, program=self.program)
        self.add_arguments(parser)
        return parser


def execute(command: Command, name: str, arguments: Sequence[str]) -> int:
    """Parses and runs; returns the exit code.

    Args:
        command: what to run, by the name ``name``.
        arguments: its own.

    Raises:
        SystemExit: ``--help``, or arguments that the parser refuses.
        Exception: see :func:`exit_code_of`.
    """

    if arguments and arguments[0] in command.further:
        further = command.further[arguments[0]]
        return execute(further, f"{name} {arguments[0]}", arguments[1:])

    def parse_and_run() -> int | None:
        return command.run(**vars(command.parser(name).parse_args(arguments)))

    hint = "; run the same command again to continue" if command.continues else ""
    return exit_code_of(parse_and_run, name, interrupted=f"interrupted{hint}")


def exit_code_of(
    action: Callable[[], int | None], name: str, *, interrupted: str = "interrupted"
) -> int:
    """Runs a command's action; returns the exit code.

    Args:
        action: what to do; returns an exit code, None for 0.
        name: with which messages begin.
        interrupted: what to say on Ctrl-C.

    Raises:
        Exception: a bug, or a mistake with ``PIXELPRETEXT_TRACEBACK=1``.
    """
    try:
        code = action() or 0
        sys.stdout.flush()  # a pipe that nobody reads any more shows here at the latest
        return code
    except KeyboardInterrupt:
        _print_error(name, interrupted)
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return BROKEN_PIPE
        if not is_mistake(error) or os.environ.get("PIXELPRETEXT_TRACEBACK", "0") not in ("", "0"):
            raise
        _print_error(name, as_typed(sentence(error)))
        return MISTAKE


def as_typed(text: str) -> str:
    """Rewrites every ``pixelpretext NAME`` of a text into the form that works for the user.

    That is ``python tools/NAME.py`` in a checkout, unless the program was started as
    ``pixelpretext``.
    """
    if checkout() is None or Path(sys.argv[0]).stem == "pixelpretext":
        return text
    return re.sub(r"\bpixelpretext ([a-z][a-z-]*)", _as_script, text)


def own_command() -> str:
    """Returns the command that this program was started by, to be typed again."""
    script, arguments = Path(sys.argv[0]), shlex.join(sys.argv[1:])
    if script.suffix == ".py" and script.parent.name == "tools":
        return f"python tools/{script.name} {arguments}"
    return f"pixelpretext {arguments}"


def _as_script(match: re.Match[str]) -> str:
    return f"python tools/{match[1].replace('-', '_')}.py"


def is_mistake(error: BaseException) -> bool:
    """Tells whether the user can mend what is wrong: a mistake in what was given, or too little
    memory.
    """
    return isinstance(error, (ValueError, OSError)) or _is_lack_of_memory(error)


def sentence(error: BaseException) -> str:
    """Returns the message of a mistake on one line, never empty."""
    text = str(error).strip()
    if "\nOriginal Traceback (most recent call last):" in text:  # out of a loading process of torch
        text = text.splitlines()[-1].partition(": ")[2]
    text = " ".join(text.split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        other = "" if error.filename2 is None else f" -> {error.filename2}"
        text = f"{error.filename}{other}: {error.strerror}"
    if _is_lack_of_memory(error):
        text = (
            f"out of memory{': ' if text else ''}{text}; smaller images or batches, or fewer "
            "processes, need less"
        )
    return text or (
        f"{type(error).__name__} without a message; PIXELPRETEXT_TRACEBACK=1 shows where it "
        "came from"
    )


def read_pairs(
    items: Iterable[str],
    *,
    option: str,
    example: str,
    parse: Callable[[str], Any],
    form: str = "KEY=VALUE",
) -> dict[str, Any]:
    """Reads ``KEY=VALUE`` of an option that takes several.

    Args:
        items: as they stand on the command line.
        option: the option's name and ``example`` one right item, for messages.
        parse: makes a value of the text behind the equals sign.
        form: how an item is written.

    Raises:
        ValueError: an item without key or value, or a key that is given twice.
    """
    given: dict[str, str] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise ValueError(f"{option} {item!r}: write {form}, as in {example}")
        if key in given:
            raise ValueError(
                f"{option}: {key} is given twice, {given[key]!r} and {text!r}; give it once"
            )
        given[key] = text
    return {key: parse(text) for key, text in given.items()}


def _is_lack_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get(
        "torch"
    )  # not imported for this: a tool without torch has none of its exceptions
    return isinstance(error, MemoryError) or (
        torch is not None and isinstance(error, torch.OutOfMemoryError)
    )


def _print_error(command: str, text: str) -> None:
    """Prints to stderr; one of several processes says which it is, unless it is the first."""
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or "0"
    who = command if rank == "0" else f"{command} (process {rank})"
    print(f"{who}: {text}", file=sys.stderr)


def _nobody_reads() -> bool:
    """Tells whether stdout is a closed pipe, and lets the interpreter end without complaining about
    it.
    """
    watch = select.poll()
    watch.register(sys.stdout.fileno(), select.POLLERR | select.POLLHUP)
    if not watch.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
