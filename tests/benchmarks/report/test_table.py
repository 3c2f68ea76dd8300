"""The one table builder: columns, cells, marks, and what must not share a column."""

from __future__ import annotations

import math

import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.core.statistics import Interval
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.statistics import DIFFERENCE, Statistic
from benchmarks.report.table import Cell, Column, Entry, Row, Table, TableError, build

NAME, SECONDS = Column("network", is_text=True), Column("s", digits=1)


def run(name: str, pair: int = 0, *, size: int = 1, **values: float) -> Run:
    """A run; of metrics that end in _error lower is better."""
    metrics = {}
    for metric, value in values.items():
        metrics[metric] = Metric(value, "%", "lower" if metric.endswith("_error") else "higher")
    return Run(Record("toy", metrics, {"size": size}), name, pair)


def entry(name: str, *runs: Run, kind: str = "") -> Entry:
    return Entry(name, runs, {"network": name, "s": 1234.5}, kind)


def test_columns_stand_before_and_after_the_metrics() -> None:
    a = entry("a", run("a", top1=1.0, top1_error=3.0), run("a", 1, top1=3.0, top1_error=5.0))
    b = entry("b", run("b", top1=2.0))
    table = build([a, b], before=(NAME,), after=(SECONDS,), title="t", caption="c")
    headings = [column.heading for column in table.columns]
    assert headings == ["network", "top1 [%]", "top1_error [%] ↓", "s"]
    half = 12.706204736
    assert table.rows[0].cells[1].value.half == pytest.approx(half)
    assert table.lines() == [
        ["a", "2.00 ± 12.71", "4.00 ± 12.71", "1,234.5"],
        ["b", "2.00", "–", "1,234.5"],
    ]
    assert (table.title, table.caption, table.notes) == ("t", "c", ())
    chosen = build([a, b], before=(NAME,), metrics=["top1_error"], digits={"top1_error": 0})
    assert chosen.lines() == [["a", "4 ± 13"], ["b", "–"]]


def test_the_best_is_marked_by_the_metrics_direction_among_networks_alone() -> None:
    entries = [
        entry("a", run("a", top1=1.0, top1_error=1.0)),
        entry("b", run("b", top1=2.0, top1_error=math.nan)),
        entry("c", run("c", top1=2.0, top1_error=2.0)),
        entry("majority", run("majority", top1=9.0, top1_error=0.0), kind="baseline"),
    ]
    table = build(entries, before=(NAME,), mark_best=True)
    assert [[cell.best for cell in row.cells[1:]] for row in table.rows] == [
        [False, True],
        [True, False],
        [True, False],
        [False, False],
    ]
    assert table.lines()[1][2] == "not defined"
    alone = build(entries[:1], before=(NAME,), mark_best=True)
    assert not any(cell.best for cell in alone.rows[0].cells)


def test_unequal_protocols_and_directions_are_refused() -> None:
    with pytest.raises(TableError, match="'toy'.*cannot share a column: a has .*, b has") as error:
        build([entry("a", run("a", top1=1.0)), entry("b", run("b", size=2, top1=1.0))])
    assert [one.name for one in error.value.runs] == ["a", "b"]
    lower = Run(Record("toy", {"top1": Metric(1.0, "%", "lower")}, {"size": 1}), "b")
    with pytest.raises(TableError, match="higher is better in the record of a, lower in that of b"):
        build([entry("a", run("a", top1=1.0)), entry("b", lower)])


def test_benchmarks_of_several_protocols_stand_in_columns_of_their_own() -> None:
    first = Run(run("a", top1=1.0).record, "a", benchmark="small")
    second = Run(run("a", size=2, top1=2.0).record, "a", benchmark="large")
    table = build([entry("a", first, second)], before=(NAME,))
    assert [column.name for column in table.columns] == ["network", "small.top1", "large.top1"]
    assert table.lines() == [["a", "1.00", "2.00"]]
    assert sample_of("a", [first, second], "large.top1").values.tolist() == [2.0]
    assert sample_of("a", [first, second], "large.top5").runs == ()


def test_a_statistic_of_pairs_has_a_column_per_reference() -> None:
    entries = [
        entry("a", run("a", 0, top1=1.0), run("a", 1, top1=2.0)),
        entry("b", run("b", 0, top1=4.0), run("b", 1, top1=5.0), run("b", 2, top1=99.0)),
        entry("c", run("c", 7, top1=4.0)),
    ]
    table = build(entries, before=(NAME,), statistics=(DIFFERENCE,), references=("a", "c"))
    names = [column.name for column in table.columns]
    assert names == ["network", "top1", "top1 minus a"]  # nothing is paired with c
    assert [row.cells[2].value for row in table.rows] == [None, Interval(3.0, 0.0, 2), None]
    assert table.notes == (DIFFERENCE.explanation,)


def test_statistics_of_arms_all_arms_and_the_table() -> None:
    largest = Statistic("largest", "arm", lambda sample: float(max(sample.values)), "largest")
    ranks = Statistic(
        "rank",
        "arms",
        lambda samples: [f"{i} of {len(samples)}" for i, _ in enumerate(samples)],
        "rank",
    )
    spread = Statistic(
        "spread",
        "table",
        lambda samples: float(max(s.values.max() for s in samples)),
        "largest of all",
        "All runs are looked at.",
    )
    entries = [
        entry("a", run("a", 0, top1=1.0), run("a", 1, top1=2.0)),
        entry("b", run("b", 0, other=4.0)),
        entry("c", run("c", 0, top1=8.0)),
    ]
    table = build(entries, before=(NAME,), metrics=["top1"], statistics=(largest, ranks, spread))
    assert [line[2:] for line in table.lines()] == [
        ["2.00", "0 of 2"],
        ["–", "–"],
        ["8.00", "1 of 2"],
    ]
    assert table.notes == ("largest of all, top1 [%]: 8.00.", "All runs are looked at.")
    with pytest.raises(ValueError, match="scope='arn' is not one of .*did you mean 'arm'"):
        Statistic("wrong", "arn", len)


def test_tables_turn_and_give_parts() -> None:
    entries = [entry("a", run("a", top1=1.0, fog=2.0)), entry("b", run("b", top1=3.0))]
    table = build(entries, before=(NAME,), after=(SECONDS,), mark_best=True)
    assert table.select(["s", "network"]).lines() == [["1,234.5", "a"], ["1,234.5", "b"]]
    turned = table.transposed("metric")
    assert [column.heading for column in turned.columns] == ["metric", "a", "b"]
    assert [line[0] for line in turned.lines()] == ["top1 [%]", "fog [%]", "s"]
    assert turned.lines()[:2] == [["top1 [%]", "1.00", "3.00"], ["fog [%]", "2.00", "–"]]
    assert turned.rows[0].cells[2].best and not turned.rows[0].cells[1].best


def test_how_values_are_written() -> None:
    column = Column("x", unit="1", better="lower")
    assert column.heading == "x ↓" and Column("x", "label", unit="m").heading == "label"
    values = [
        None,
        "words",
        1234.567,
        math.nan,
        Interval(1.0, 0.25, 3),
        Interval(math.nan, None, 2),
    ]
    assert [column.text(value) for value in values] == [
        "–",
        "words",
        "1,234.57",
        "not defined",
        "1.00 ± 0.25",
        "not defined",
    ]
    assert Table("", (column,), (Row((Cell(2.0),)),)).lines() == [["2.00"]]
