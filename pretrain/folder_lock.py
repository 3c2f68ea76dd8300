"""One process at a time in a folder; the second one learns who the first is."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAME = ".lock"
# What file systems answer that know no locks, such as Lustre mounted without them.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class Busy(ValueError):
    """Another process works in the folder."""


@dataclass
class _Hold:
    """A lock of this process: an open file, and how many times it was taken."""

    file: int
    count: int = 1


_held: dict[Path, _Hold] = {}


def _drop_in_child() -> None:
    """Closes the locks in a forked process: a worker that outlives its parent keeps no folder."""
    for hold in _held.values():
        os.close(hold.file)
    _held.clear()


os.register_at_fork(after_in_child=_drop_in_child)


class FolderLock:
    """Holds ``folder/.lock`` until it is released or the process ends, however it ends.

    The file says who holds it, as JSON: host, pid, since. The system drops the lock of a killed
    process. On a file system without locks the folder counts as held while the process that the
    file names lives on this host; a process of another host does not stop this one there.

    Args:
        folder: made if missing.
        what: what is locked, for the message.
        wait_s: seconds to wait for another process, which may be about to end because it, or its
            parent, was killed.
        shared: whether this process may hold the lock already; it then counts how often.

    Raises:
        Busy: another process still holds the lock, or this one does and ``shared`` is False.
        OSError: the folder cannot be written.
    """

    def __init__(
        self, folder: str | Path, what: str, *, wait_s: float = 0.0, shared: bool = False
    ) -> None:
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._place = folder.resolve()
        self._released = False
        if shared and self._place in _held:
            _held[self._place].count += 1
            return
        file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666)
        deadline = time.monotonic() + wait_s
        while not _take(file):
            if time.monotonic() >= deadline:
                holder = _read(file)
                os.close(file)
                self._released = True
                raise Busy(
                    f"{folder}: another process works on this {what}{_words(holder)}; wait for it "
                    "or end it"
                )
            time.sleep(0.2)
        _write(
            file,
            dict(
                host=socket.gethostname(),
                since=time.strftime("%Y-%m-%d %H:%M:%S"),
                **_process(os.getpid()),
            ),
        )
        _held[self._place] = _Hold(file)

    def fileno(self) -> int:
        """Returns the file descriptor, through which a child can hold the lock as well."""
        return _held[self._place].file

    def release(self) -> None:
        """Gives the folder free; nothing if it is already, or in a forked process."""
        hold = None if self._released else _held.get(self._place)
        self._released = True
        if hold is None:
            return
        hold.count -= 1
        if hold.count == 0:
            del _held[self._place]
            os.ftruncate(hold.file, 0)
            os.close(hold.file)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        if not getattr(self, "_released", True):
            self.release()


@contextmanager
def exclusive(folder: Path, what: str, *, wait_s: float) -> Iterator[int]:
    """Holds a :class:`FolderLock` for the length of a ``with`` block; gives its file descriptor."""
    with FolderLock(folder, what, wait_s=wait_s) as lock:
        yield lock.fileno()


def _take(file: int) -> bool:
    """Locks the open file, or tells that another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            return False
    holder = _read(file)
    if holder.get("host") != socket.gethostname() or "pid" not in holder:
        return True
    return _process(holder["pid"]) != {key: holder.get(key) for key in ("pid", "ticks")}


def _process(pid: int) -> dict[str, int]:
    """Returns ``pid`` and, where /proc tells it, its start in ticks: pids are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"pid": pid}
    return {"pid": pid, "ticks": int(fields[19])}


def _read(file: int) -> dict[str, Any]:
    """Returns what the holder wrote of itself; nothing if it is just about to."""
    try:
        content = json.loads(os.pread(file, 4096, 0) or b"{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: int, content: dict[str, Any]) -> None:
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(content).encode(), 0)


def _words(holder: dict[str, Any]) -> str:
    """Returns who holds a lock, in brackets."""
    if not {"pid", "host", "since"} <= holder.keys():
        return ""
    return f" (process {holder['pid']} on {holder['host']}, since {holder['since']})"
