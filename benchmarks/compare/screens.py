"""A comparison's table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import rich.table

from benchmarks.compare.costs import COSTS
from benchmarks.compare.rows import ARM, FAILED, LETTERS, RANK, SEEDS, STOPPED
from benchmarks.compare.table import Comparison
from benchmarks.report.renderers import to_screen
from benchmarks.report.table import Cell, Column, Row, Table

_LONG = 16  # characters; of such values only one column fits beside names


def screens(comparison: Comparison) -> list[rich.table.Table]:
    """Returns the results and, where there are any, further statistics and costs, each as a table
    made to fit 80 characters; statistics in long words have a line for each arm and metric.
    """
    metrics = [column.name for column in comparison.metrics]
    failed = [FAILED.name] if comparison.failures else []
    failed += [STOPPED.name] if comparison.stopped else []
    names = [RANK.name, ARM.name, LETTERS.name, *metrics, SEEDS.name, *failed]
    results = comparison.table.select(names)
    short = {RANK.name: "#", LETTERS.name: "ties", SEEDS.name: "n", FAILED.name: "failed"}
    short[STOPPED.name] = "stopped"
    parts = [to_screen(replace(results, notes=()), short=short)]
    further, costs = [], []
    words: dict[str, list[Column]] = {}  # heading of a statistic -> its columns
    for column, cells in comparison.table.by_column():
        if column in COSTS:
            costs.append(column)
        elif column.label and any(len(column.text(cell.value)) > _LONG for cell in cells):
            words.setdefault(column.label, []).append(column)
        elif column.name not in names and not column.is_text:  # keys stand in the arms' names
            further.append(replace(column, label=""))  # here its name must say which metric
    for heading, columns in words.items():
        parts.append(to_screen(_line_by_line(comparison.table, columns, heading=heading)))
    titles = ("Further statistics", "Cost of pretraining, mean over seeds")
    for title, columns in zip(titles, (further, costs), strict=True):
        if columns:
            parts.append(to_screen(_beside_arms(comparison.table, columns, title=title)))
    return parts


def _beside_arms(table: Table, columns: Sequence[Column], *, title: str) -> Table:
    """Some columns beside the arms' names; rows without any value are left out."""
    part = table.select([ARM.name, *(column.name for column in columns)])
    rows = [row for row in part.rows if set(row.cells[1:]) != {Cell()}]
    return Table(title, (ARM, *columns), tuple(rows))


def _line_by_line(table: Table, columns: Sequence[Column], *, heading: str) -> Table:
    """One statistic in words: a row for each metric and arm that has a value."""
    rows = []
    for column in columns:
        part = table.select([ARM.name, column.name])
        metric = column.name.removesuffix(f" {heading}")
        for arm, value in ([cell.value for cell in row.cells] for row in part.rows):
            if value is not None:
                rows.append(Row.of(metric, arm, value))
    metric = Column("metric", is_text=True)
    return Table("", (metric, ARM, Column(heading, is_text=True)), tuple(rows))
