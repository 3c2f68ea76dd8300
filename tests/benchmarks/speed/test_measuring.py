"""What all measurements of speed share, and that all have one shape."""

from __future__ import annotations

import importlib
import re

import pytest
import torch

from benchmarks.speed import measuring

MODULES = ("adversarial", "comparing", "input", "step", "supcon", "upsamplers")


@pytest.mark.parametrize("name", MODULES)
def test_each_is_a_command_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = importlib.import_module(f"benchmarks.speed.{name}").COMMAND
    with pytest.raises(SystemExit) as end:
        command.parser(name).parse_args(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and f"usage: python -m benchmarks.speed.{name} " in text
    assert re.search(rf"examples?:\s+python -m benchmarks.speed.{name} ", text)
    assert "exit codes: 0 done" in text


def test_one_thread_counts_processor_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    kept: list[str] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(measuring, "keep_freed_memory", lambda: kept.append("cpu"))
    measuring.prepare(device="cpu", clock="cpu", threads=4)
    measuring.prepare(device="cuda", clock="wall", threads=3)
    measuring.prepare(device="cpu", clock="wall")
    assert threads == [1, 3] and kept == ["cpu", "cpu"]
    with pytest.raises(ValueError, match="say nothing about --device cuda:1"):
        measuring.prepare(device="cuda:1", clock="cpu")


def test_tables_are_markdown() -> None:
    assert measuring.header(["a", "b"]) == "| a | b |\n| --- | --- |"
    assert measuring.row(["1", "2"]) == "| 1 | 2 |"


def test_the_processor_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measuring.machine("cpu") == measuring.processor() != ""
    monkeypatch.setattr(measuring, "Path", lambda path: Nowhere())
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert measuring.processor() == "riscv64"


class Nowhere:
    def exists(self) -> bool:
        return False
