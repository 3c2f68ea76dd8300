"""docs/adding_an_executor.md: its executor is copied from the page, tested, and killed."""

from __future__ import annotations

import inspect
import os
import re
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.compare.executors import EXECUTORS, make_executor
from tests.benchmarks.compare.executors.counters import (
    ROOT,
    counted,
    counter,
    start_controller,
    wait_for,
)

CLASS, TEST = (
    "benchmarks/compare/executors/ssh.py",
    "tests/benchmarks/compare/executors/test_ssh.py",
)
HERE = {"hosts": "a", "remote": "sh -c"}


@pytest.fixture
def ssh(page: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's module, in the list for the length of a test."""
    module = page.load(CLASS)
    monkeypatch.setitem(EXECUTORS, "ssh", module.Ssh)
    return module


@pytest.fixture
def dotted(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page's module as a file outside the repository, also for child processes."""
    name = f"ssh_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(page.blocks[CLASS])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "tests.benchmarks.compare.executors.counters.ROOT", f"{ROOT}{os.pathsep}{tmp_path}"
    )
    return name


def test_the_page_shows_the_files_it_lists(page: Any) -> None:
    listed = re.findall(r"^\| (\S+/\S+) \|", page.text, re.MULTILINE)
    files = [path.replace("\\", "") for path in listed]
    init = "benchmarks/compare/executors/__init__.py"
    assert list(page.blocks) == [CLASS, TEST] and files == [CLASS, TEST, init, "docs/comparing.md"]


def test_the_tests_on_the_page_pass(
    page: Any, ssh: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = page.tests(TEST)
    assert len(tests) == 5
    for name, test in tests.items():
        folder = tmp_path / name
        folder.mkdir()
        given = {"tmp_path": folder, "monkeypatch": monkeypatch}
        test(*[given[argument] for argument in inspect.signature(test).parameters])


def test_it_is_made_by_its_name_and_by_that_of_a_module_elsewhere(
    ssh: ModuleType, dotted: str
) -> None:
    assert make_executor("ssh", {"hosts": "a, b,a"}).describe() == "3 at once on a, b"
    assert make_executor(dotted, {"hosts": "a"}).at_once == 1
    with pytest.raises(ValueError, match="hots is unknown; did you mean 'hosts'"):
        make_executor("ssh", {"hots": "a"})


def test_killed_its_jobs_end_and_the_next_run_goes_on(dotted: str) -> None:
    controller = start_controller(dotted, HERE)
    controller.send_signal(signal.SIGKILL)
    controller.wait()
    wait_for(lambda: Path("work/t/step").exists())
    reached = counted()
    assert 0 < reached < 1000
    time.sleep(0.3)
    assert counted() == reached
    goal = reached + 20
    assert make_executor(dotted, HERE).run([counter(goal)], lambda status: None) == []
    lines = Path("work/t/log.txt").read_text().splitlines()
    assert counted() == goal and lines == ["from step 0", f"from step {reached}"]
