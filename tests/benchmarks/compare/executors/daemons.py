"""What the clusters of these tests share: daemons that end with whoever started them."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self


class Unavailable(RuntimeError):
    """This machine cannot have such a cluster; the message says why in one sentence."""


class Daemons(ABC):
    """A cluster of daemons on this machine.

    Use it as a context manager; it ends with the ``with`` block, or with this process.

    Args:
        folder: gets configuration, state and logs; a short path, because it holds sockets.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def start(self) -> None:
        """Starts all daemons and waits until jobs can run.

        Raises:
            Unavailable: it cannot be had here, or a daemon ends.
        """

    @abstractmethod
    def stop(self) -> None:
        """Ends all jobs and daemons."""

    @property
    @abstractmethod
    def usage(self) -> str:
        """What to type in another shell to use it."""


def start_daemon(
    command: Sequence[str], *, log: IO[bytes], variables: Mapping[str, str], number: int
) -> subprocess.Popen:
    """Starts a process that gets the signal ``number`` when this one is gone, however that ended.

    Args:
        command: argument list.
        log: takes its output.
        variables: on top of this process's.
        number: of the signal.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, **variables},
        start_new_session=True,  # Ctrl-C reaches this process alone
        preexec_fn=lambda: _end_with_parent(number),
    )


def _end_with_parent(number: int) -> None:
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)


def free_ports(count: int, *, above: int = 0) -> list[int]:
    """Returns ports that nobody listens on, each larger than ``above``."""
    probes: list[socket.socket] = []
    ports: list[int] = []
    while len(ports) < count:
        probes.append(socket.socket())
        probes[-1].bind(("127.0.0.1", 0))
        port = probes[-1].getsockname()[1]
        if port > above:
            ports.append(port)
    for probe in probes:
        probe.close()
    return ports


def main(cluster: type[Daemons], description: str) -> int:
    """Starts a cluster in the folder that the command line names, until Ctrl-C.

    Args:
        cluster: what to start.
        description: printed where the command line is wrong.

    Returns:
        Exit code.
    """
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(description)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with cluster(Path(sys.argv[1]).resolve()) as running:
            print(f"Two nodes are up. In another shell:\n{running.usage}")
            print("Ctrl-C ends all jobs and the cluster.", flush=True)
            signal.pause()
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0
