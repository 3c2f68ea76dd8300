"""One process at a time in a folder: after kills, in forks, on file systems without locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pretrain import folder_lock
from pretrain.folder_lock import Busy, FolderLock, exclusive

HOLD = """
import sys, time
from pretrain.folder_lock import FolderLock
lock = FolderLock(sys.argv[1], "training")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that holds ``tmp_path/run``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_the_second_process_learns_who_the_first_is(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    message = rf"works on this training \(process {other.pid} on {socket.gethostname()}, since 20"
    with pytest.raises(Busy, match=message):
        FolderLock(tmp_path / "run", "training", shared=True)


def test_a_killed_process_leaves_the_folder_free(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    other.kill()
    with FolderLock(tmp_path / "run", "training", wait_s=30):
        assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()
    assert (tmp_path / "run" / ".lock").read_text() == ""


def test_one_process_may_share_its_lock_with_itself_if_it_says_so(tmp_path: Path) -> None:
    first = FolderLock(tmp_path, "run")
    second = FolderLock(tmp_path, "run", shared=True)
    first.release()
    first.release()  # a second time changes nothing
    with pytest.raises(Busy):
        FolderLock(tmp_path, "run")
    second.release()
    with exclusive(tmp_path, "run", wait_s=0) as file:
        assert os.fstat(file).st_ino == (tmp_path / ".lock").stat().st_ino


def test_a_forked_worker_does_not_keep_the_folder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, "run")
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    try:
        lock.release()
        FolderLock(tmp_path, "run", wait_s=60).release()  # the child may not have run yet
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_the_mark_of_a_living_process_counts(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    with pytest.raises(Busy, match=f"process {other.pid} on"):
        FolderLock(tmp_path / "run", "training")
    other.kill()
    other.wait()
    FolderLock(tmp_path / "run", "training").release()


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_used_pid_and_another_host_do_not_stop_anybody(tmp_path: Path) -> None:
    here = dict(host=socket.gethostname(), since="today", **folder_lock._process(os.getpid()))
    for mark in (here | dict(ticks=1), here | dict(host="elsewhere"), "half a ma"):
        (tmp_path / ".lock").write_text(json.dumps(mark)[:200])
        FolderLock(tmp_path, "run").release()
