"""One process at a time in a folder; the second one learns who the first is.

A lock is a file that names its owner, see :mod:`pretrain.lock_owner`. It works wherever files can
be created and renamed atomically, so on NFS and Lustre as well: nothing here asks the file system
for a lock.
"""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pretrain import lock_owner
from pretrain.lock_owner import Judge, Owner, Reading, read

NAME = ".lock"
# Names the locks that this process keeps alive for its parent, see `inheritance`.
VARIABLE = "PIXELPRETEXT_LOCKS"
LOOK_SECONDS = 0.1
# What file systems answer that know no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)


class Busy(ValueError):
    """Another process works in the folder."""


@dataclass
class _Hold:
    """A lock of this process: an open file, who it names, and how many times it was taken."""

    file: int
    owner: Owner
    count: int = 1


class _Heart:
    """Renews the files of this process's locks, from a thread that ends with the last of them.

    A process that slept for so long that another took its lock gets SIGTERM: it has to stop.
    """

    def __init__(self) -> None:
        self.holds: dict[Path, _Hold] = {}
        self.taking = threading.Lock()  # one thread at a time
        self._guard = threading.Lock()  # a file is not closed while it is renewed
        self._thread: threading.Thread | None = None
        self._inherited: dict[Path, _Hold] = {}

    def add(self, place: Path, hold: _Hold) -> None:
        """Keeps a lock alive from now on."""
        with self._guard:
            self.holds[place] = hold
            if self._thread is None:
                self._inherited = self._inherited or _inherited()
                self._thread = threading.Thread(target=self._beat, name="locks", daemon=True)
                self._thread.start()

    def remove(self, place: Path) -> None:
        """Leaves a lock and closes its file."""
        with self._guard:
            os.close(self.holds.pop(place).file)

    def _beat(self) -> None:
        while True:
            time.sleep(lock_owner.BEAT_SECONDS)
            with self._guard:
                if not self.holds:
                    self._thread = None
                    return
                lost = [place for place, hold in self.holds.items() if not _renew(place, hold)]
                for place, hold in self._inherited.items():
                    _renew(place, hold)
            for place in lost:
                print(
                    f"{place.parent}: this process showed no sign of life for more than "
                    f"{lock_owner.STALE_SECONDS:.0f} s, and another one works here now; stopping",
                    file=sys.stderr,
                    flush=True,
                )
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def drop(self) -> None:
        """Closes all files in a forked process: a worker that outlives its parent keeps nothing."""
        for hold in [*self.holds.values(), *self._inherited.values()]:
            os.close(hold.file)
        self.holds.clear()
        self._inherited.clear()
        self.taking, self._guard, self._thread = threading.Lock(), threading.Lock(), None


def _renew(place: Path, hold: _Hold) -> bool:
    """Renews a lock file's time; False: it is another's by now."""
    with suppress(OSError):  # the disk does not answer; the next beat may reach it
        os.utime(hold.file)
    reading = read(place)
    # A file that cannot be read proves nothing, nor does one that was removed by hand.
    return reading is None or reading.owner.token == hold.owner.token or not reading.owner.pid


def _inherited() -> dict[Path, _Hold]:
    """Opens the locks that the parent asked this process to keep alive, see :func:`inheritance`."""
    kept = {}
    for line in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        token, _, name = line.partition("@")
        place = Path(name)
        reading = read(place)
        if reading is not None and reading.owner.token == token:
            with suppress(OSError):
                kept[place] = _Hold(os.open(place, os.O_RDWR), reading.owner)
    return kept


_heart = _Heart()
os.register_at_fork(after_in_child=lambda: _heart.drop())


def inheritance() -> dict[str, str]:
    """Returns the variable that makes a child keep this process's locks alive on other machines'
    view, from when it takes a lock of its own until it ends. On this machine a child keeps them by
    the file descriptors that it inherits.
    """
    holds = _heart.holds.items()
    return {VARIABLE: os.pathsep.join(f"{hold.owner.token}@{place}" for place, hold in holds)}


class FileLock:
    """Holds a lock file until it is released or the process ends, however it ends.

    The file says who holds it. If that process ended without releasing it, on this machine the lock
    is free at once, for other machines when ``lock_owner.STALE_SECONDS`` have passed. So taking a
    lock that a process of another machine left takes that long, even with ``wait_s=0``.

    Args:
        path: the lock file; its folder is made if missing.
        what: what is locked, for the message.
        wait_s: seconds to wait for another process, which may be about to end because it, or its
            parent, was killed.
        shared: whether this process may hold the lock already; it then counts how often.

    Raises:
        Busy: another process still holds the lock, or this one does and ``shared`` is False.
        OSError: the folder cannot be written.
    """

    def __init__(
        self, path: str | Path, what: str, *, wait_s: float = 0.0, shared: bool = False
    ) -> None:
        path = Path(path)
        self._place = path.parent.resolve() / path.name
        self._released = True
        if shared and self._place in _heart.holds:
            _heart.holds[self._place].count += 1
            self._released = False
            return
        judge, asked = Judge(), time.monotonic()
        while (holder := self._try_alone(judge)) is not None:
            if time.monotonic() >= asked + wait_s and judge.is_sure(holder):
                raise Busy(
                    f"{path.parent}: another process works on this {what}{holder.describe()}; "
                    "wait for it or end it"
                )
            time.sleep(LOOK_SECONDS)
        self._released = False

    def fileno(self) -> int:
        """Returns the file descriptor, through which a child can hold the lock as well."""
        return _heart.holds[self._place].file

    def release(self) -> None:
        """Gives the lock free; nothing if it is already, or in a forked process."""
        hold = None if self._released else _heart.holds.get(self._place)
        self._released = True
        if hold is None:
            return
        hold.count -= 1
        if hold.count == 0:
            _heart.remove(self._place)
            _remove(self._place, hold.owner)

    def _try_alone(self, judge: Judge) -> Owner | None:
        with _heart.taking:
            return self._try(judge)

    def _try(self, judge: Judge) -> Owner | None:
        """Takes the lock, or returns who holds it.

        The successor of an owner that is gone is whoever creates the file named after that owner's
        token: one process, as the name is used once. The successor then moves its file to the
        lock's place. One that dies before has a successor in the same way, so takers follow the
        chain to its end.
        """
        while True:
            chain = _chain(self._place)
            if chain and _is_held(self._place, chain[-1], judge):
                return chain[-1].owner
            mine = Owner.this_process()
            place = _successor(self._place, chain[-1]) if chain else self._place
            file = _create(place, mine)
            if file is None:
                continue  # another process was faster
            if _owners(_chain(self._place)) == [*_owners(chain), mine]:
                break
            # The owner that is gone had its successor long ago, who is at the lock's place by now.
            os.close(file)
            _remove(place, mine)
        if chain:
            os.replace(place, self._place)
        for reading in chain[:-1]:
            _successor(self._place, reading).unlink(missing_ok=True)
        _heart.add(self._place, _Hold(file, mine))
        return None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        if not getattr(self, "_released", True):
            self.release()


def _is_held(place: Path, reading: Reading, judge: Judge) -> bool:
    """Whether the owner at the end of a chain holds the lock, this very process included."""
    hold = _heart.holds.get(place)
    return (hold is not None and hold.owner == reading.owner) or judge.lives(reading)


def _chain(place: Path) -> list[Reading]:
    """Returns the owner at the lock's place and, if that one is gone, its successors."""
    chain = []
    reading = read(place)
    while reading is not None:
        chain.append(reading)
        reading = read(_successor(place, reading))
    return chain


def _owners(chain: list[Reading]) -> list[Owner]:
    return [reading.owner for reading in chain]


def _successor(place: Path, reading: Reading) -> Path:
    return place.with_name(f"{place.name}.after-{reading.owner.token}")


def _remove(place: Path, owner: Owner) -> None:
    """Removes an owner's lock file, unless it is another's by now."""
    reading = read(place)
    if reading is not None and reading.owner == owner:
        place.unlink(missing_ok=True)


def _create(place: Path, owner: Owner) -> int | None:
    """Creates a lock file with all its content at once; None if there is one. Returns the open
    file.
    """
    place.parent.mkdir(parents=True, exist_ok=True)  # the last owner may have removed it
    temporary = place.with_name(f"{NAME}.{owner.token}")
    file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    created = False
    try:
        os.write(file, owner.to_json().encode())
        os.fsync(file)
        created = _link(temporary, place, file)
    finally:
        temporary.unlink(missing_ok=True)
        if not created:
            os.close(file)
    return file if created else None


def _link(temporary: Path, place: Path, file: int) -> bool:
    """Gives a file its second name; False if that is taken."""
    try:
        os.link(temporary, place)
    except FileExistsError:
        # NFS asks again if an answer was lost, and is then told that its own link exists.
        return os.fstat(file).st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _occupy(temporary, place)
    return True


def _occupy(temporary: Path, place: Path) -> bool:
    """As :func:`_link`, on a file system without hard links.

    An empty file keeps the place until the full one replaces it. It is nobody's, so another process
    may succeed it within this moment; whose file is there afterwards holds the lock.
    """
    try:
        os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    os.replace(temporary, place)
    time.sleep(LOOK_SECONDS)
    return True


class FolderLock(FileLock):
    """Holds ``folder/.lock``, see :class:`FileLock`; the folder is made if missing."""

    def __init__(
        self, folder: str | Path, what: str, *, wait_s: float = 0.0, shared: bool = False
    ) -> None:
        super().__init__(Path(folder) / NAME, what, wait_s=wait_s, shared=shared)


@contextmanager
def exclusive(folder: Path, what: str, *, wait_s: float) -> Iterator[int]:
    """Holds a :class:`FolderLock` for the length of a ``with`` block; gives its file descriptor."""
    with FolderLock(folder, what, wait_s=wait_s) as lock:
        yield lock.fileno()


def holders(folders: Sequence[Path]) -> dict[Path, Owner]:
    """Returns who holds the locks of folders, where somebody does. Takes no lock.

    A process of another machine is waited for, up to two of its signs of life.
    """
    judges = {folder: Judge() for folder in folders}
    deadline = time.monotonic() + 2 * lock_owner.BEAT_SECONDS
    while True:
        living: dict[Path, Owner] = {}
        unsure = set()
        for folder, judge in judges.items():
            place = folder.resolve() / NAME
            chain = _chain(place)
            if chain and _is_held(place, chain[-1], judge):
                living[folder] = chain[-1].owner
                if not judge.is_sure(chain[-1].owner):
                    unsure.add(folder)
        if not unsure or time.monotonic() >= deadline:
            return {folder: owner for folder, owner in living.items() if folder not in unsure}
        time.sleep(LOOK_SECONDS)


def writing(path: Path) -> FileLock:
    """Returns a lock on writing to the file ``path``, for a moment; waits for other writers."""
    return FileLock(path.with_name(f".{path.name}.lock"), "file", wait_s=math.inf)
