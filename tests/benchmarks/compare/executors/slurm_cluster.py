"""A real SLURM of two nodes on this machine, from Debian's packages, for tests and for trying out.

    python -m tests.benchmarks.compare.executors.slurm_cluster FOLDER

in the root of the repository starts it, prints how to use it, and stops it on Ctrl-C. Nothing is
installed: the packages (9 MB) are downloaded by apt-get and unpacked into a cache folder once;
configuration, state and logs go to FOLDER. Needs root, apt-get and dpkg.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.benchmarks.compare.executors.daemons import (
    Daemons,
    Unavailable,
    free_ports,
    main,
    start_daemon,
)

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge")
CLIENTS = ("sbatch", "srun", "squeue", "sinfo", "scancel", "scontrol", "sacct")
NODES = ("node1", "node2")
CPUS = 4  # of each node, whatever the machine has: the tests' jobs hardly compute
START_SECONDS = 30.0

# Jobs of the partition "urgent" preempt those of "all", which are then requeued.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
StateSaveLocation={folder}/state
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
PluginDir={plugins}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=1
KillWait=10
DefMemPerCPU=100
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} {size}
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} {size}
PartitionName=all Nodes=ALL Default=YES MaxTime=60 DefaultTime=30
PartitionName=plain Nodes=node1 MaxTime=60
PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10
"""


def cache_folder() -> Path:
    """Returns where the unpacked packages are kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "pixelpretext" / "slurm"


def unpacked() -> Path:
    """Returns the folder with the packages' files, downloaded if this is the first time.

    Raises:
        Unavailable: no root, no apt-get, or no package to be had.
    """
    lacking = [name for name in ("apt-get", "dpkg") if shutil.which(name) is None]
    if lacking or os.geteuid() != 0:
        raise Unavailable(f"a SLURM of Debian's packages needs {' and '.join(lacking) or 'root'}")
    folder = cache_folder()
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"slurm-{os.getpid()}")
    try:
        for package in _download(partial / "archives"):
            subprocess.run(["dpkg", "-x", str(package), str(partial)], check=True)
        shutil.rmtree(partial / "archives")
        with suppress(OSError):  # another process was faster
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _download(folder: Path) -> list[Path]:
    """Downloads the packages, and those that they need and this machine lacks, to ``folder``."""
    for name in ("partial", "lists/partial"):
        (folder / name).mkdir(parents=True)
    # The machine's own lists of packages may be missing or old; then a list is fetched for this.
    own = ["-o", "Debug::NoLocking=1", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User="]
    get = ["install", "--download-only", "--no-install-recommends", "--yes", *PACKAGES]
    target = ["-o", f"Dir::Cache::archives={folder}"]
    lists = [*own, "-o", f"Dir::State::lists={folder}/lists"]
    attempts: tuple[list[list[str]], ...] = (
        [[*own, *target, *get]],
        [[*lists, "update"], [*lists, *target, *get]],
    )
    for commands in attempts:
        answers = [_apt_get(arguments) for arguments in commands]
        packages = sorted(folder.glob("*.deb"))
        if answers[-1].returncode == 0 and packages:
            return packages
    words = answers[-1].stderr.strip().splitlines() or ["no message"]
    raise Unavailable(f"apt-get cannot download {', '.join(PACKAGES)}: {words[-1]}")


def _apt_get(arguments: Sequence[str]) -> subprocess.CompletedProcess:
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


class Cluster(Daemons):
    """A running SLURM: one controller, two nodes, one munge daemon.

    Attributes:
        bin: folder with ``sbatch`` and the other clients, to be put in front of ``PATH``.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.bin = folder / "bin"
        self._processes: list[subprocess.Popen] = []
        self._variables: dict[str, str] = {}

    @property
    def usage(self) -> str:
        """See :class:`Daemons`."""
        return f"  export PATH={self.bin}:$PATH\n  sinfo"

    def start(self) -> None:
        """See :class:`Daemons`: both nodes are idle."""
        root = unpacked()
        self._configure(root)
        socket_file, key = self.folder / "munge.socket", self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o400)
        names = ("key", "log", "pid", "seed")
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in names]
        self._daemon(root, "munged", "--foreground", "--force", f"--socket={socket_file}", *files)
        self._wait_for(socket_file.exists)
        self._daemon(root, "slurmctld-wlm", "-D")
        for name in NODES:
            step = root / "usr/sbin/slurmstepd-wlm"
            self._daemon(root, "slurmd-wlm", "-D", "-N", name, "-d", str(step))
        self._wait_for(self._idle)

    def run(self, name: str, *arguments: str) -> str:
        """Calls a client, such as ``squeue``; returns what it printed."""
        command = [str(self.bin / name), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def jobs(self) -> list[str]:
        """Returns the numbers of all jobs that wait or run, such as ``7_0``."""
        return self.run("squeue", "--array", "--noheader", "--format=%i").split()

    def start_requeued(self) -> None:
        """Waits for a requeued job to have left its node and lets it start at once; SLURM itself
        would wait two minutes.
        """
        waiting: dict[str, str] = {}  # as scontrol and as slurmstepd name them
        while not waiting or self._has_steps(waiting.values()):
            time.sleep(0.1)
            lines = self.run("squeue", "--array", "--noheader", "--format=%i %A %r").splitlines()
            rows = [line.split(maxsplit=2) for line in lines]
            waiting = {name: number for name, number, reason in rows if reason == "BeginTime"}
        time.sleep(2)  # a late word of its first run would count for its second
        for name in waiting:
            self.run("scontrol", "update", f"jobid={name}", "starttime=now")

    def _has_steps(self, numbers: Iterable[str]) -> bool:
        """Whether one of some jobs has not left its node yet."""
        titles = tuple(f"slurmstepd-wlm: [{number}." for number in numbers)
        return any(command.startswith(titles) for _, command in self._living())

    def environment(self) -> dict[str, str]:
        """Returns the variables with which the clients are found."""
        return {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}"}

    def stop(self) -> None:
        """See :class:`Daemons`."""
        # The environment tells which they are: slurmstepd leaves its parent and its group.
        for pid, _ in self._living():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            process.wait()
        self._processes.clear()

    def _living(self) -> list[tuple[int, str]]:
        """Returns (process id, command line) of the daemons and of all jobs."""
        mark = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        living = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                    living.append((int(entry.name), command))
        return living

    def _configure(self, root: Path) -> None:
        for name in ("state", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        libraries = next(root.glob("usr/lib/*/slurm-wlm"))
        text = CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            ports=free_ports(3),
            folder=self.folder,
            plugins=libraries,
            size=f"CPUs={CPUS} RealMemory=8000",
        )
        (self.folder / "slurm.conf").write_text(text)
        self._variables = {
            "LD_LIBRARY_PATH": f"{libraries.parent}{os.pathsep}{libraries}",
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }
        for name in CLIENTS:
            _write_script(self.bin / name, root / "usr/bin" / name, self._variables)

    def _daemon(self, root: Path, name: str, *arguments: str) -> None:
        command = [str(root / "usr/sbin" / name), *arguments]
        with open(self.folder / "daemons.log", "ab") as log:
            process = start_daemon(
                command, log=log, variables=self._variables, number=signal.SIGKILL
            )
        self._processes.append(process)

    def _idle(self) -> bool:
        """Whether both nodes wait for jobs."""
        command = [str(self.bin / "sinfo"), "--noheader", "--partition=all", "--format=%T %D"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        return answer.stdout.split() == ["idle", str(len(NODES))]

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not condition():
            ended = [process.args[0] for process in self._processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                log = (self.folder / "daemons.log").read_text(errors="replace")
                words = f"{', '.join(ended)} ended" if ended else "it is not ready"
                raise Unavailable(f"SLURM did not start, {words}; see {self.folder}: {log[-500:]}")
            time.sleep(0.05)


def _write_script(path: Path, program: Path, variables: Mapping[str, str]) -> None:
    """Writes a client that knows its cluster: whoever calls it needs only the folder on PATH."""
    settings = " ".join(f"{name}='{value}'" for name, value in variables.items())
    path.write_text(f'#!/bin/sh\nexec env {settings} "{program}" "$@"\n')
    path.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main(Cluster, __doc__))
