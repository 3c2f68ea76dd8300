"""A real Ray cluster of two nodes on this machine, for tests and for trying out.

    python -m tests.benchmarks.compare.executors.ray_cluster FOLDER

in the root of the repository starts it, prints how to use it, and stops it on Ctrl-C. State and
logs go to FOLDER, a short path.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.compare.executors.daemons import (
    Daemons,
    Unavailable,
    free_ports,
    main,
    start_daemon,
)

OBJECT_STORE_BYTES = 80 * 2**20
START_SECONDS = 180.0
CPUS = 2  # of each node, whatever the machine has: the tests' jobs hardly compute


class Cluster(Daemons):
    """A running Ray: a head and a second node, each with ``CPUS`` cores and no GPU.

    Attributes:
        address: as ``HOST:PORT``, for processes of this machine.
        variables: what a process needs in its environment to be let in.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # Ray gives its workers 10002 to 19999.
        port, client_port = free_ports(2, above=20000)
        self.address = f"127.0.0.1:{port}"
        self.variables = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray's own default is to look for a dead node for half a minute.
            "RAY_health_check_failure_threshold": "3",
            "RAY_health_check_period_ms": "500",
        }
        self._nodes: dict[str, subprocess.Popen] = {}
        self._ports = [
            f"--port={port}",
            f"--ray-client-server-port={client_port}",
            "--node-ip-address=127.0.0.1",
        ]

    @property
    def usage(self) -> str:
        """See :class:`Daemons`."""
        variables = " ".join(f"{name}={value}" for name, value in self.variables.items())
        options = f"--executor ray --executor-options address={self.address}"
        return f"  export {variables}\n  pixelpretext compare … {options}"

    def start(self) -> None:
        """See :class:`Daemons`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        head = ["--head", *self._ports, f"--temp-dir={self.folder}"]
        self._start("head", *head, "--include-dashboard=false")
        self.start_node()

    def start_node(self) -> None:
        """Starts the second node."""
        self._start("node", f"--address={self.address}", "--node-ip-address=127.0.0.2")

    def kill_node(self) -> None:
        """Kills the second node and all its tasks with SIGKILL, as if its power had failed."""
        process = self._nodes.pop("node")
        kill_tree(process.pid)
        process.wait()

    def stop(self) -> None:
        """See :class:`Daemons`."""
        for process in reversed(self._nodes.values()):
            kill_tree(process.pid)
            process.wait()
        self._nodes.clear()

    def _start(self, name: str, *arguments: str) -> None:
        size = [f"--num-cpus={CPUS}", "--num-gpus=0", f"--object-store-memory={OBJECT_STORE_BYTES}"]
        command = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            "--disable-usage-stats",
        ]
        log = self.folder / f"{name}.log"
        with open(log, "wb") as file:
            process = start_daemon(
                [*command, *size, *arguments],
                log=file,
                variables=self.variables,
                number=signal.SIGTERM,
            )
        self._nodes[name] = process
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in (words := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"Ray did not start, see {log}: {words[-500:]}")
            time.sleep(0.1)


def kill_tree(pid: int) -> None:
    """Kills a process and all that descend from it, with SIGKILL."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        waiting += children.get(current, [])
        with suppress(ProcessLookupError):
            os.kill(current, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Cluster, __doc__))
