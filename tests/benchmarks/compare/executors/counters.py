"""Jobs that count and go on where they were stopped, for the tests of executors on clusters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.executors.base import Job, Status

ROOT = Path(__file__).resolve().parents[4]
# Counts steps up to the number in its second argument; stopped, it writes how far it is.
COUNTER = """
import os, signal, sys, time
from pathlib import Path
file, goal = Path(sys.argv[1]), int(sys.argv[2])
step = int(file.read_text()) if file.exists() else 0
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("from step", step, flush=True)
while step < goal and not stop:
    step += 1
    time.sleep(0.05)
    (file.parent / "running").write_text(str(os.getppid()))
file.write_text(str(step))
sys.exit(0 if step == goal else 143)
"""
# Arguments: an executor, its options as JSON, the command of the one job that it runs.
CONTROLLER = """
import json, sys
from pathlib import Path
from benchmarks.compare.executors import make_executor
from benchmarks.compare.executors.base import Job
executor = make_executor(sys.argv[1], json.loads(sys.argv[2]))
try:
    executor.run([Job("t", sys.argv[3:], Path("work/t"))], lambda status: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def job(name: str, code: str, arguments: Sequence[str] = (), **values: Any) -> Job:
    """A job that runs a line of Python in a folder of its own."""
    command = [sys.executable, "-S", "-c", code, *arguments]
    return Job(name, command, Path("work", name), **values)


def counter(goal: int = 40, name: str = "t", **values: Any) -> Job:
    """A job of ``goal`` twentieths of a second that goes on where it was stopped."""
    return job(name, COUNTER, [f"work/{name}/step", str(goal)], **values)


def counted(name: str = "t") -> int:
    """How far a counter was when it ended in order."""
    return int(Path("work", name, "step").read_text())


class Once:
    """Calls a function with the id of the process that started a counter, once, when it counts."""

    def __init__(self, action: Callable[[int], object], name: str = "t") -> None:
        self._file, self._action, self.is_done = Path("work", name, "running"), action, False

    def __call__(self, status: Status) -> None:
        if not self.is_done and self._file.exists() and self._file.read_text():
            self.is_done = True
            self._action(int(self._file.read_text()))


def start_controller(executor: str, options: dict[str, Any], goal: int = 1000) -> subprocess.Popen:
    """Runs a counter by an executor in a process of its own; returns when it counts."""
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLER, executor, json.dumps(options), *counter(goal).command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not Path("work/t/running").exists():
        assert process.poll() is None
        time.sleep(0.05)
    return process


def wait_for(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    while not condition():
        time.sleep(0.05)
