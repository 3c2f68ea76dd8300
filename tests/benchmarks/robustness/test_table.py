"""The table of classifiers: a column each, rows by what was measured, one unit for all."""

from __future__ import annotations

import io

from rich.console import Console

from benchmarks.core.record import Metric, Record
from benchmarks.report.renderers import to_screen
from benchmarks.robustness.cli import robustness_table
from benchmarks.robustness.measures import summarise


def record(spec: str, wrong: int) -> Record:
    levels = {"1": dict(images=100, wrong=wrong), "5": dict(images=100, wrong=2 * wrong)}
    counts = dict(clean=dict(images=100, wrong=10), corruptions=dict(fog=levels))
    metrics = summarise(counts, alexnet=False)
    return Record("robustness", metrics, {"size": 1}, counts=counts, subject=dict(spec=spec))


def test_a_column_per_classifier_and_a_row_per_error() -> None:
    table = robustness_table([record("a.pth", 20), record("b.pth", 10)])
    assert table.headings == ["metric", "a.pth", "b.pth"]
    lines = {line[0]: line[1:] for line in table.lines()}
    assert lines["error [%] ↓"] == ["10.00", "10.00"] and lines["fog [%] ↓"] == ["30.00", "15.00"]
    best = {row.cells[0].value: [cell.best for cell in row.cells[1:]] for row in table.rows}
    assert best["fog [%] ↓"] == [False, True] and best["error [%] ↓"] == [True, True]


def test_the_newest_record_of_a_reference_is_the_unit_of_one_more_row() -> None:
    group = [record("a.pth", 20), record("b.pth", 10)]
    reference = [record("old.pth", 40), record("new.pth", 20)]
    last = robustness_table(group, reference).lines()[-1]
    assert last == ["mCE, reference = 100", "100.00", "50.00"]
    other = Record("robustness", {"error": Metric(1.0, "%", "lower")}, {"size": 2})
    assert robustness_table(group, [other]).lines()[-1][0] == "fog [%] ↓"


def test_names_are_paths_with_slashes() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(to_screen(robustness_table([record("./runs/a.pth", 20)])))
    assert "runs/a.pth" in out.getvalue()
