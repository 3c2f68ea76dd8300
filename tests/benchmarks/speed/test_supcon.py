"""The benchmark of the loss in pieces: a row is complete, and both forms give the same loss."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed import supcon
from benchmarks.speed.supcon import COMMAND, Case, compare, in_process, measure
from pretrain.command_line import execute


def test_both_forms_give_the_same_loss_here_and_in_a_process_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)  # would stay for all tests
    monkeypatch.setattr("pretrain.memory.keep_freed_memory", lambda: True)
    whole, pieces = measure(Case(64, 8, 4, None)), in_process(Case(64, 8, 4, 16))
    assert whole["loss"] == pytest.approx(pieces["loss"], rel=1e-6)
    assert 0.05 < pieces["peak GB"] < 4 and whole["seconds"] > 0


def test_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supcon, "in_process", lambda case: {"seconds": 1.0, "peak GB": 1.0})
    options = "--entries 32 --dim 4 --chunk 8 --repetitions 1"
    assert execute(COMMAND, "supcon", options.split()) == 0
    head, _, row = capsys.readouterr().out.strip().splitlines()
    assert head.startswith(
        "| n | chunk | seconds whole | seconds pieces | seconds ratio | peak GB whole"
    )
    assert row.startswith("| 32 | 8 | ") and row.count("|") == 9


def test_ratios_are_medians_within_a_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole and pieces alternate: 2 s and 1 s, 4 s and 8 s, 10 s and 10 s."""
    seconds = iter([2.0, 1.0, 4.0, 8.0, 10.0, 10.0])
    asked: list[int | None] = []

    def known(case: Case) -> dict[str, float]:
        asked.append(case.chunk)
        return {"seconds": next(seconds), "peak GB": 8.0 if case.chunk is None else 2.0}

    monkeypatch.setattr(supcon, "in_process", known)
    assert compare(Case(4096, chunk=512), 3) == [
        *("4,096", "512"),
        *("4.00", "8.00", "1.00"),
        *("8.00", "2.00", "0.25"),
    ]
    assert asked == [None, 512] * 3
