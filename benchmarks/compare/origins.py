"""Where each number of a comparison comes from: its record, by file and line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.compare.costs import COSTS
from benchmarks.report.runs import Run
from benchmarks.report.table import Column, Row, Table

RECORDS = "records.jsonl"
TRIAL = Column("trial", is_text=True)


@dataclass(frozen=True)
class Origin:
    """One record on the page.

    Attributes:
        group: arm or baseline.
        run: the record and whose it is.
        file: below the work folder.
        line: in that file, from 1.
    """

    group: str
    run: Run
    file: str
    line: int = 1

    @property
    def anchor(self) -> str:
        """Unique on the page."""
        return f"record-{self.run.name}-{self.run.benchmark}".replace("/", "-")

    @property
    def shown(self) -> str:
        """The record as JSON; of its counts, which are long, only what there is."""
        plain = json.loads(self.run.record.to_json())
        sizes = {}
        for name, counts in plain["counts"].items():
            sizes[name] = f"{len(counts)} entries" if isinstance(counts, list | dict) else counts
        return json.dumps(plain | {"counts": sizes}, indent=1, ensure_ascii=False)


def origins_of(
    arms: Mapping[str, Sequence[Run]], baselines: Mapping[str, Sequence[Run]], folder: str
) -> list[Origin]:
    """All records of a comparison.

    Args:
        arms: arm -> its runs, in the order in which ``records.jsonl`` holds them.
        baselines: name -> its runs.
        folder: of the baselines, below the work folder.
    """
    origins: list[Origin] = []
    for arm, runs in arms.items():
        for run in runs:
            origins.append(Origin(arm, run, RECORDS, len(origins) + 1))
    for name, runs in baselines.items():
        for run in runs:
            file = f"{folder}/{name}/{run.benchmark}/record.json"
            origins.append(Origin(name, run, file))
    return origins


def links_of(origins: Sequence[Origin], columns: Sequence[Column]) -> dict[tuple[str, str], str]:
    """(Row, column) of the results -> where the records of the row stand."""
    links = {}
    for origin in origins:
        for column in columns:
            if not column.is_text:
                links[origin.group, column.name] = f"records-{origin.group}"
    return links


def table_of_trials(
    origins: Sequence[Origin], metrics: Sequence[Column], costs: Sequence[Mapping[str, Any]]
) -> tuple[Table, dict[tuple[str, str], str]]:
    """A row per trial with what it gave and cost.

    Args:
        origins: of arms.
        metrics: columns to show.
        costs: a dict per trial: ``arm``, ``seed`` and what it cost.

    Returns:
        The table, and (trial, column) -> anchor of the record.
    """
    spent = {}
    for cost in costs:
        spent[f"{cost['arm']}/seed_{cost['seed']}"] = cost
    values: dict[str, dict[str, float]] = {}
    links = {}
    for origin in origins:
        own = values.setdefault(origin.run.name, {})
        for name, metric in origin.run.record.metrics.items():
            column = origin.run.column(name)
            own[column] = metric.value
            links[origin.run.name, column] = origin.anchor
    known = [cost for cost in COSTS if any(cost.name in line for line in spent.values())]
    columns, rows = (TRIAL, *metrics, *known), []
    for trial, own in values.items():
        cells = own | dict(spent.get(trial, {}))
        rows.append(Row.of(trial, *(cells.get(column.name) for column in columns[1:])))
    return Table("Every seed", columns, tuple(rows)), links
