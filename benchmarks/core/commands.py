"""What the command lines of benchmarks share: records that survive a full disk, and names that fit
into tables.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.core.record import Record
from pretrain.files import require_writable

_GAP = "…"


class RecordFile:
    """The file that a command appends its records to, tried before any work.

    A record that cannot be written there goes to the screen and to a file of the same name, with
    ``rescued_`` before it, in the current folder or in that of temporary files.

    Args:
        path: JSON lines; appended to. console: where losses and the summary are told.
        option: what the user calls the path, for messages.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: str | Path, console: Console, *, option: str = "--out") -> None:
        require_writable(path, option)
        self.path, self.console = Path(path), console
        self.appended = 0
        self.elsewhere: list[str] = []  # where each record went that could not be appended
        self.failure: OSError | None = None

    def append(self, record: Record) -> None:
        """Appends a record; never raises for want of a disk, so that the measurements after it go
        on.
        """
        try:
            record.append(self.path)
            self.appended += 1
        except OSError as error:
            self.failure = error
            self.elsewhere.append(self._rescue(record))

    def summarise(self) -> None:
        """Says how many records the file got, if it got any."""
        if self.appended:
            self.console.print(
                f"{self.appended} records appended to {self.path}", markup=False, soft_wrap=True
            )

    def require_whole(self) -> None:
        """Raises an :class:`OSError` that says where the records are which the file did not get;
        none: nothing.
        """
        if self.failure is not None:
            places = ", ".join(dict.fromkeys(self.elsewhere))
            raise OSError(
                f"{self.path}: {len(self.elsewhere)} records could not be appended "
                f"({self.failure}); they are on the screen and in {places}"
            ) from self.failure

    def _rescue(self, record: Record) -> str:
        """Shows a record and writes it where that is possible; returns where it is."""
        self.console.print(record.to_json(), markup=False, highlight=False, soft_wrap=True)
        for folder in (os.curdir, tempfile.gettempdir()):
            path = Path(folder).resolve() / f"rescued_{self.path.name}"
            try:
                record.append(path)
            except OSError:
                continue
            return str(path)
        return "no file"


def choose_device(name: str | None) -> str:
    """Returns the device to work on; None: cuda where it is, else cpu.

    Raises:
        ValueError: no such device on this machine.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind, index = torch.device(name).type, torch.device(name).index or 0
    except RuntimeError as error:
        raise ValueError(f"--device {name!r}: not a device; write cpu, cuda or cuda:0") from error
    if kind == "cuda" and index >= torch.cuda.device_count():
        raise ValueError(
            f"--device {name}: this machine has {torch.cuda.device_count()} GPUs that torch can use"
        )
    return name


def require_distinct(values: Sequence[str], option: str) -> None:
    """Refuses what is named twice, also a file by two paths.

    Args:
        values: specs or paths. option: what they are, for the message.

    Raises:
        ValueError: names the two.
    """
    first: dict[str, str] = {}
    for value in values:
        source, query, options = value.partition("?")
        key = f"{Path(source).resolve()}{query}{options}" if Path(source).exists() else value
        if key in first:
            raise ValueError(
                f"{option} {value!r} is named twice ({first[key]!r} before it); name it once"
            )
        first[key] = value


def shorten(names: Sequence[str], width: int) -> dict[str, str]:
    """Shortens long names in the middle; different names stay different.

    Args:
        names: of a table's rows or columns. width: characters that a name may take, at least 8.

    Returns:
        name -> what to print for it.
    """
    names = list(dict.fromkeys(names))
    short = [_cut(name, width) for name in names]
    if len(set(short)) < len(names):  # what tells them apart went with the middle
        head, tail = _common(names)
        short = [_cut(_around(name, head, len(name) - tail, width), width) for name in names]
    if len(set(short)) < len(names):
        short = [f"{number}:{_cut(name, width - 3)}" for number, name in enumerate(names, start=1)]
    return dict(zip(names, short, strict=True))


def full_names(short: dict[str, str]) -> list[str]:
    """Lines that tell what shortened names stand for; none where nothing was shortened."""
    return [f"{printed} = {name}" for name, printed in short.items() if printed != name]


def _cut(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    kept = width - len(_GAP)
    return name[: kept // 2] + _GAP + name[len(name) - (kept - kept // 2) :]


def _common(names: Sequence[str]) -> tuple[int, int]:
    """Lengths of the beginning and the end that all names share and that do not overlap."""
    head = len(os.path.commonprefix(names))
    backwards = [name[head:][::-1] for name in names]
    return head, len(os.path.commonprefix(backwards))


def _around(name: str, start: int, stop: int, width: int) -> str:
    """The part ``start:stop`` of a name with as much of what surrounds it as ``width`` allows, gaps
    marked.
    """
    free = max(0, width - (stop - start) - 2 * len(_GAP))
    first, last = max(0, start - free // 2), min(len(name), stop + free - free // 2)
    return _GAP * (first > 0) + name[first:last] + _GAP * (last < len(name))
