"""One process at a time in a folder: after kills, in forks, on disks that machines share."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pretrain import folder_lock, lock_owner
from pretrain.folder_lock import Busy, FolderLock, exclusive
from pretrain.lock_owner import Owner

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
    assert [*(tmp_path / "run").iterdir()] == []


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


def test_a_child_with_the_descriptor_keeps_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    """As the trainer keeps its trial's, which must not be begun again beside it."""
    sleep = "time.sleep(600)"
    script = f"""{HOLD.replace(sleep, "")}
import subprocess
child = [sys.executable, "-c", "import time; {sleep}"]
print(subprocess.Popen(child, pass_fds=(lock.fileno(),)).pid, flush=True)
{sleep}
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "held\n"
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        try:
            with pytest.raises(Busy, match=f"process {parent.pid} on"):
                FolderLock(tmp_path, "run", wait_s=0.3)
        finally:
            os.kill(child, signal.SIGKILL)
    FolderLock(tmp_path, "run", wait_s=30).release()


def test_leftovers_of_other_versions_and_used_pids_stop_nobody(tmp_path: Path) -> None:
    here = Owner.this_process()
    for content in ("", "half a ma", '{"pid": 1}', replace(here, ticks=1).to_json()):
        (tmp_path / ".lock").write_text(content)
        FolderLock(tmp_path, "run").release()
        assert [*tmp_path.iterdir()] == []


def test_a_lock_that_vanished_is_released_without_a_word(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path, "run")
    (tmp_path / ".lock").unlink()
    other = FolderLock(tmp_path, "run", shared=True)
    other.release()
    lock.release()
    FolderLock(tmp_path, "run").release()


# From here on, machines are pretended: a process of another machine cannot be looked up.
ELSEWHERE = """
import sys, time
from pretrain import folder_lock, lock_owner
lock_owner.BEAT_SECONDS, lock_owner.STALE_SECONDS = 0.1, 2.0
lock_owner.this_machine = lambda: sys.argv[2]
lock_owner.socket.gethostname = lambda: sys.argv[2]
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and patience of tests."""
    monkeypatch.setattr(lock_owner, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lock_owner, "STALE_SECONDS", 2.0)


@pytest.fixture(params=["today", "an hour behind", "a day ahead"])
def elsewhere(request: pytest.FixtureRequest, quick: None, tmp_path: Path) -> subprocess.Popen[str]:
    """A process of another machine that holds ``tmp_path/run``; its clock may be wrong, so the
    times that it gives the file are.
    """
    shift = {"today": 0, "an hour behind": -3600, "a day ahead": 86400}[request.param]
    clock = f"""
import os
utime = os.utime
os.utime = lambda file: utime(file, (time.time() + {shift},) * 2)
"""
    script = ELSEWHERE + clock + HOLD
    command = [sys.executable, "-c", script, str(tmp_path / "run"), "node2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_another_machines_process_holds_while_it_beats_and_no_longer(
    elsewhere: subprocess.Popen[str], tmp_path: Path
) -> None:
    for wait in (0, 2.5):  # longer than what makes a silent one stale
        with pytest.raises(Busy, match=f"process {elsewhere.pid} on node2, since 20"):
            FolderLock(tmp_path / "run", "training", wait_s=wait)
    elsewhere.kill()
    started = time.monotonic()
    with FolderLock(tmp_path / "run", "training"):
        assert time.monotonic() - started > 1
        assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()


def test_who_slept_too_long_is_stopped(elsewhere: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(elsewhere.pid, signal.SIGSTOP)
    with FolderLock(tmp_path / "run", "training"):
        os.kill(elsewhere.pid, signal.SIGCONT)
        assert elsewhere.wait(30) == -signal.SIGTERM
        assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()


def test_a_child_beats_for_its_killed_parent(quick: None, tmp_path: Path) -> None:
    child = f"""{ELSEWHERE}
lock = folder_lock.FolderLock(sys.argv[1] + "/pretrain", "training")
print("both", flush=True)
time.sleep(600)
"""
    parent = f"""{ELSEWHERE}
import os, subprocess
lock = folder_lock.FolderLock(sys.argv[1], "trial")
command = [sys.executable, "-c", {child!r}, *sys.argv[1:]]
child = subprocess.Popen(command, env=os.environ | folder_lock.inheritance())
print(child.pid, flush=True)
time.sleep(600)
"""
    command = [sys.executable, "-c", parent, str(tmp_path), "node2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        lines = {process.stdout.readline().strip(), process.stdout.readline().strip()}
        (trainer,) = lines - {"both"}
        process.kill()
        try:
            with pytest.raises(Busy, match=f"process {process.pid} on node2"):
                FolderLock(tmp_path, "trial", wait_s=2.5)
        finally:
            os.kill(int(trainer), signal.SIGKILL)
    FolderLock(tmp_path, "trial").release()


RACE = """
import os, random
folder, rounds = sys.argv[1], int(sys.argv[3])
for _ in range(rounds):
    with folder_lock.FolderLock(folder, "race", wait_s=600):
        # Exclusive creation: a second holder would fail here.
        os.close(os.open(folder + "/inside", os.O_CREAT | os.O_EXCL))
        time.sleep(random.random() * 0.01)
        os.unlink(folder + "/inside")
        if len(sys.argv) > 4 and random.random() < 0.5:
            os._exit(0)  # as if killed
"""


@pytest.mark.parametrize(
    ("rounds", "links"),
    [(("10",), True), (("3", "dying"), True), (("3", "dying"), False)],
    ids=["orderly", "dying", "dying without hard links"],
)
def test_takers_of_all_machines_never_hold_together(
    tmp_path: Path, rounds: tuple[str, ...], links: bool
) -> None:
    """Two processes on each of two machines, which find a dead owner's file at the start."""
    dead = replace(Owner.this_process(), machine="node9", token="dead")
    (tmp_path / ".lock").write_text(dead.to_json())
    refuse = """
def refuse(*_):
    raise OSError(95, "no links")
folder_lock.os.link = refuse
"""
    script = ELSEWHERE + ("" if links else refuse) + RACE
    processes = []
    for node in ("node1", "node2") * 2:
        command = [sys.executable, "-c", script, str(tmp_path), node, *rounds]
        processes.append(subprocess.Popen(command))
    assert [process.wait(120) for process in processes] == [0] * 4
    leftovers = {path.name for path in tmp_path.iterdir()}
    assert leftovers <= {".lock"}


def test_writers_of_one_file_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with folder_lock.writing(path) as lock:
        assert (tmp_path / ".records.jsonl.lock").is_file() and lock.fileno() > 2
        thread = threading.Thread(target=lambda: folder_lock.writing(path).release())
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(30)
    assert [*tmp_path.iterdir()] == []
