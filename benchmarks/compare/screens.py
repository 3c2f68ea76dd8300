"""A comparison's table on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import rich.table

from benchmarks.compare.costs import COSTS
from benchmarks.compare.rows import ARM, FAILED, LETTERS, RANK, SEEDS, STOPPED
from benchmarks.compare.table import Comparison
from benchmarks.report.renderers import to_screen
from benchmarks.report.table import Cell, Column, Table


def screens(comparison: Comparison) -> list[rich.table.Table]:
    """Returns the results and, where there are any, further statistics and costs, each as a table
    made to fit 80 characters.
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
    for column in comparison.table.columns:
        if column in COSTS:
            costs.append(column)
        elif column.name not in names and not column.is_text:  # keys stand in the arms' names
            further.append(replace(column, label=""))  # here its name must say which metric
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
