"""A real Ray cluster of two nodes on this machine, for tests and for trying out.

    python tests/benchmarks/compare/executors/ray_cluster.py FOLDER

starts it, prints how to use it, and stops it on Ctrl-C. State and logs go to FOLDER, a short path.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

OBJECT_STORE_BYTES = 80 * 2**20
START_SECONDS = 180.0
CPUS = 2  # of each node, whatever the machine has: the tests' jobs hardly compute


class Cluster:
    """A running Ray: a head and a second node, each with ``CPUS`` cores and no GPU.

    Use it as a context manager; it ends with the ``with`` block, or with this process.

    Args:
        folder: gets state and logs; a short path, because it holds sockets.

    Attributes:
        address: as ``HOST:PORT``, for processes of this machine.
        variables: what a process needs in its environment to be let in.
    """

    def __init__(self, folder: Path) -> None:
        port, client_port = _free_ports(2)
        self.folder = folder
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

    def __enter__(self) -> Cluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            head = ["--head", *self._ports, f"--temp-dir={self.folder}"]
            self._start("head", *head, "--include-dashboard=false")
            self.start_node()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start_node(self) -> None:
        """Starts the second node."""
        self._start("node", f"--address={self.address}", "--node-ip-address=127.0.0.2")

    def kill_node(self) -> None:
        """Kills the second node and all its tasks with SIGKILL, as if its power had failed."""
        process = self._nodes.pop("node")
        kill_tree(process.pid)
        process.wait()

    def stop(self) -> None:
        """Ends all tasks and daemons."""
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
            process = subprocess.Popen(
                [*command, *size, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env={**os.environ, **self.variables},
                start_new_session=True,  # Ctrl-C reaches this process alone
                preexec_fn=_end_with_parent,
            )
        self._nodes[name] = process
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in (words := log.read_text(errors="replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ray did not start, see {log}: {words[-500:]}")
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Ports above those that Ray gives its workers, 10002 to 19999."""
    ports: list[int] = []
    while len(ports) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if probe.getsockname()[1] > 20000:
                ports.append(probe.getsockname()[1])
    return ports


def _end_with_parent() -> None:
    """Has the system end this process when its parent is gone, however that ended."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


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


def main() -> int:
    """Starts a cluster in the folder that the command line names, until Ctrl-C."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with Cluster(Path(sys.argv[1]).resolve()) as cluster:
            variables = " ".join(f"{name}={value}" for name, value in cluster.variables.items())
            print(f"Two nodes are up. In another shell:\n  export {variables}")
            options = f"--executor ray --executor-options address={cluster.address}"
            print(f"  pixelpretext compare … {options}")
            print("Ctrl-C ends all tasks and the cluster.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
