"""The benchmark of searching: every back-end has a row, and shares are of one repetition."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed import matrix_product, neighbours
from benchmarks.speed.neighbours import COMMAND, Case, measure
from pretrain.command_line import execute


@pytest.fixture(autouse=True)
def no_lasting_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and kept memory would stay for all tests."""
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr("benchmarks.speed.measuring.keep_freed_memory", lambda: True)


def test_operations_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Product and search alternate; at one second each the rates are the operations."""
    monkeypatch.setattr(matrix_product, "_SIDE", 16)
    monkeypatch.setitem(matrix_product.CLOCKS, "cpu", iter(range(9)).__next__)
    case = Case("torch", "float32", keys=100, queries=10, dim=8, neighbours=3)
    assert (
        measure(case, 2, device="cpu", clock="cpu") == [(2 * 10 * 100 * 8, 8 * 2 * 16 * 16 * 8)] * 2
    )


def test_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([[(4e9, 5e9), (6e9, 12e9), (9e9, 10e9)], [(1e9, 2e9)] * 3])
    monkeypatch.setattr(neighbours, "measure", lambda *case, **options: next(rates))
    options = "--keys 100 --queries 10 --backends torch faiss-cpu --dtypes float16"
    assert execute(COMMAND, "neighbours", options.split()) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[1] == "| back-end | keys | GFLOP/s | matrix product GFLOP/s | share |"
    assert lines[3:] == [
        "| torch | float16 | 6.0 | 10.0 | 0.80 |",
        "| faiss-cpu | float16 | 1.0 | 2.0 | 0.50 |",
    ]
