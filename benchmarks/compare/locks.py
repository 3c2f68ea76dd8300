"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Busy(OSError):
    """Another process works in the folder."""


@contextmanager
def exclusive(folder: Path, what: str, *, wait_s: float) -> Iterator[int]:
    """Holds ``folder/.lock``; gives its file descriptor, through which a child can hold the lock as well.

    The system drops the lock when the last process that holds it ends, however it ends.

    Args:
        folder: made if missing.
        what: what is locked, for the message.
        wait_s: seconds to wait for another process, which may be about to end because its parent was killed.

    Raises:
        Busy: another process still holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_s
    with open(folder / ".lock", "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise Busy(f"{folder}: another process works on this {what}; wait for it or end it") from error
                time.sleep(0.2)
        yield lock.fileno()
