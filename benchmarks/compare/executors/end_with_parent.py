"""Runs a command that ends when the process that started it is gone, however that ended.

    python end_with_parent.py PARENT SECONDS COMMAND...

PARENT is the process id of the one that started this. This process must lead a process group. Once
its parent is gone, the group gets SIGTERM, and SIGKILL after SECONDS. The exit code is the
command's, 128 + N if signal N ended it. Needs nothing but the standard library.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time


def main() -> int:
    """Runs the command of ``sys.argv``; returns its exit code."""
    parent, grace_seconds = int(sys.argv[1]), float(sys.argv[2])
    # The whole group gets this signal. The command decides how to end, this process waits for it.
    # A handler, because the command would inherit a signal that is ignored.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    # Ray blocks Ctrl-C in its processes, and children inherit that.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Two of this process, one watching the other: a Ray worker that loses its node kills its own
    # children at once, and the command would live on.
    first = os.getpid()
    second = os.fork()
    if second == 0:
        parent = first
        process = subprocess.Popen(sys.argv[3:])
    threading.Thread(target=_watch, args=(parent, grace_seconds), daemon=True).start()
    if second == 0:
        code = process.wait()
    else:
        code = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
    if os.getppid() != parent:
        os.killpg(0, signal.SIGKILL)  # whatever the command left behind; nobody else cares
    return code if code >= 0 else 128 - code


def _watch(parent: int, grace_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGTERM)
    time.sleep(grace_seconds)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
