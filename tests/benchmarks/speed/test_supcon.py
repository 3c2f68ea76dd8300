"""The benchmark of the loss in pieces: a row is complete, and both forms give the same loss."""

from __future__ import annotations

import pytest

from benchmarks.speed.supcon import in_process, main


def test_both_forms_give_the_same_loss_in_processes_of_their_own() -> None:
    whole, pieces = in_process(64, 8, 4, None), in_process(64, 8, 4, 16)
    assert whole["loss"] == pytest.approx(pieces["loss"], rel=1e-6)
    assert 0.05 < whole["peak GB"] < 4 and whole["seconds"] > 0


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--entries", "32", "--dim", "4", "--chunk", "8", "--repetitions", "1"])
    head, _, row = capsys.readouterr().out.strip().splitlines()
    assert head.startswith(
        "| n | chunk | seconds whole | seconds pieces | seconds ratio | peak GB whole"
    )
    assert row.startswith("| 32 | 8 | ") and row.count("|") == 9
