"""The benchmark of clustering: both kinds have a row, and shares are of one repetition."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed import clustering, matrix_product
from benchmarks.speed.clustering import COMMAND, Case, measure
from pretrain.command_line import execute


@pytest.fixture(autouse=True)
def no_lasting_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads and kept memory would stay for all tests."""
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr("benchmarks.speed.measuring.keep_freed_memory", lambda: True)


@pytest.mark.parametrize(("kind", "searches"), [("spread", 3), ("faiss", 2)])
def test_operations_are_counted(kind: str, searches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Product and rounds alternate; at one second each the rates are the operations. Ours looks
    for nearest centres once more, for the last labels.
    """
    monkeypatch.setattr(matrix_product, "_SIDE", 16)
    monkeypatch.setitem(matrix_product.CLOCKS, "cpu", iter(range(9)).__next__)
    case = Case(kind, points=100, clusters=5, dim=8, rounds=2)
    expected = searches * 2 * 100 * 5 * 8, 8 * 2 * 16 * 16 * 8
    assert measure(case, 2, device="cpu", clock="cpu") == [expected] * 2


def test_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([[(4e9, 5e9), (6e9, 12e9), (9e9, 10e9)], [(1e9, 2e9)] * 3])
    monkeypatch.setattr(clustering, "measure", lambda *case, **options: next(rates))
    assert execute(COMMAND, "clustering", "--points 100".split()) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[1] == "| k-means | GFLOP/s | matrix product GFLOP/s | share |"
    assert lines[3:] == ["| spread | 6.0 | 10.0 | 0.80 |", "| faiss | 1.0 | 2.0 | 0.50 |"]
    assert execute(COMMAND, "clustering", "--device cuda --points 100".split()) == 2
    assert "it clusters on the CPU" in capsys.readouterr().err
