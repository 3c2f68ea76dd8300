"""The owner of a lock file: which process took it, and whether that one lives.

A process of this machine is looked up. One of another machine shows that it lives by renewing the
file's time; only whether that time changes counts, so the machines' clocks need not agree.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from uuid import uuid4

BEAT_SECONDS = 5.0  # between two signs of life
STALE_SECONDS = 60.0  # without one, after which the owner counts as gone; disks may stall for long
_JOB_VARIABLES = {"SLURM_JOB_ID": "SLURM job", "RAY_JOB_ID": "Ray job"}


@dataclass(frozen=True)
class Owner:
    """What a lock file holds, as JSON.

    Attributes:
        token: of this one taking of the lock, never used again.
        host: name, for people.
        machine: see :func:`this_machine`.
        pid: process id, counted on that machine.
        ticks: start of the process; pids are used again. None: not known.
        since: local time, for people.
        job: of a cluster's queue, for people.
    """

    token: str
    host: str = ""
    machine: str = ""
    pid: int = 0
    ticks: int | None = None
    since: str = ""
    job: str = ""

    @classmethod
    def this_process(cls) -> Owner:
        """Returns the owner that this process is, with a new token."""
        jobs = [
            f"{word} {os.environ[key]}" for key, word in _JOB_VARIABLES.items() if key in os.environ
        ]
        return cls(
            token=uuid4().hex,
            host=socket.gethostname(),
            machine=this_machine(),
            pid=os.getpid(),
            ticks=start_ticks(os.getpid()),
            since=time.strftime("%Y-%m-%d %H:%M:%S"),
            job=", ".join(jobs),
        )

    def to_json(self) -> str:
        """Returns the file's content."""
        return json.dumps(asdict(self))

    def describe(self) -> str:
        """Returns who it is, in brackets; nothing if the file does not say."""
        if not self.pid:
            return ""
        job = f", {self.job}" if self.job else ""
        return f" (process {self.pid} on {self.host}, since {self.since}{job})"


@dataclass(frozen=True)
class Reading:
    """A lock file as it was at one moment.

    Attributes:
        owner: without a pid if the file holds none: that is nobody's lock.
        device, inode: of the file.
        beat: its time in ns; changes with every sign of life.
    """

    owner: Owner
    device: int
    inode: int
    beat: int


def read(path: Path) -> Reading | None:
    """Reads a lock file; None if there is none."""
    try:
        with open(path, "rb") as file:  # opening, a network file system asks its server anew
            status = os.fstat(file.fileno())
            text = file.read(4096)
    except OSError:
        return None
    nobody = Owner(token=f"{status.st_ino:x}-{status.st_mtime_ns:x}")
    return Reading(_parse(text) or nobody, status.st_dev, status.st_ino, status.st_mtime_ns)


def _parse(text: bytes) -> Owner | None:
    try:
        content = json.loads(text)
    except ValueError:
        return None
    names = {field.name for field in fields(Owner)}
    return Owner(**content) if isinstance(content, dict) and content.keys() == names else None


def this_machine() -> str:
    """Returns what tells this machine's processes from those of others, containers with process ids
    of their own among them; nothing on a system that does not say.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def start_ticks(pid: int) -> int | None:
    """Returns when a process of this machine started, in ticks; None: no such process runs."""
    try:
        fields_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    ended = fields_[0] in "ZX"  # its parent has not asked for its exit code yet
    return None if ended else int(fields_[19])


class Judge:
    """Tells whether the owners of a lock live, from repeated looks at its file."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None
        self._looked = self._unchanged = 0.0
        self._lively = ""  # token of an owner whose beat has been seen

    def lives(self, reading: Reading) -> bool:
        """Whether the owner counts as alive.

        It does until it is known to have ended, or has not renewed its file for ``STALE_SECONDS``.
        """
        owner = reading.owner
        if not owner.pid:
            return False
        if owner.machine and owner.machine == this_machine():
            if owner.pid == os.getpid():
                return False  # of the program that this process was before os.exec
            return start_ticks(owner.pid) == owner.ticks or _is_held_open(reading)
        look, now = (owner.token, reading.beat), time.monotonic()
        if look == self._last:
            # A disk that did not answer for a while kept the owner from writing, too.
            self._unchanged += min(now - self._looked, 1.0)
        else:
            if self._last is not None and self._last[0] == owner.token:
                self._lively = owner.token
            self._last, self._unchanged = look, 0.0
        self._looked = now
        return self._unchanged < STALE_SECONDS

    def is_sure(self, owner: Owner) -> bool:
        """Whether an owner that counts as alive is known to live."""
        return owner.machine == this_machine() != "" or owner.token == self._lively


def _is_held_open(reading: Reading) -> bool:
    """Whether a process of this machine has the file open for writing, as its owner and the
    children that it gave it to have. Other users' processes do not show theirs.
    """
    own = str(os.getpid())
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if folder.parent.name == own:
            continue
        with suppress(OSError):
            for entry in os.scandir(folder):
                status = entry.stat()
                same = (status.st_dev, status.st_ino) == (reading.device, reading.inode)
                if same and _is_writable(folder.parent / "fdinfo" / entry.name):
                    return True
    return False


def _is_writable(info: Path) -> bool:
    flags = info.read_text().partition("flags:")[2].split()[0]
    return int(flags, 8) & os.O_ACCMODE == os.O_RDWR
