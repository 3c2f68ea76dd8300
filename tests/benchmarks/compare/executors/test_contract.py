"""Executors by name, and what jobs may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from benchmarks.compare.executors import EXECUTORS, Executor, Local, make_executor
from benchmarks.compare.executors.base import Resources


def test_an_executor_is_made_from_its_name_and_options() -> None:
    assert make_executor("local", {"jobs": 2, "gpus": 0}) == Local(jobs=2, gpus=0)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lokal", {}, "executor 'lokal' is not one of local, .*; did you mean 'local'"),
        ("benchmarks.compare.run", {}, "the module must end in EXECUTOR = a class derived"),
        ("local", {"job": 1}, "executor 'local': job is unknown; did you mean 'jobs'"),
        (
            "local",
            {"jobs": "x", "gpus": 0},
            "executor 'local': jobs='x' is of type str; must be int",
        ),
        ("local", {"jobs": 0, "gpus": 0}, "jobs=0: must be at least 1"),
        ("local", {"gpus": -1}, "gpus=-1: must be at least 0"),
    ],
)
def test_wrong_names_and_options_are_refused(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_executor(name, options)


def test_another_executor_is_a_class_and_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Queue(Executor):
        partition: str = "all"
        at_once = 7

        def describe(self) -> str:
            return f"in {self.partition}"

        def carry_out(self, ledger: Any, watch: Any) -> None:
            ledger.waiting.clear()

    monkeypatch.setitem(EXECUTORS, "queue", Queue)
    executor = make_executor("queue", {"partition": "gpu"})
    assert executor.describe() == "in gpu" and executor.at_once == 7


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (dict(gpus=-1), "gpus=-1: must be at least 0"),
        (dict(cpus=0), "cpus=0: must be at least 1"),
        (dict(memory_gb=0), "memory_gb=0: must be above 0"),
        (dict(hours=float("nan")), "hours=nan: must be above 0"),
    ],
)
def test_resources_are_numbers_that_make_sense(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Resources(**values)
