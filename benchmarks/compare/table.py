"""From the trials' records to one table: arms ranked by the primary metric, mean ± 95 % interval
over seeds, cost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.table import Table

from benchmarks.compare.configs import differences, flatten
from benchmarks.compare.fairness import Fairness
from benchmarks.compare.names import check_names
from benchmarks.core.record import Metric
from benchmarks.core.statistics import Interval, interval_of_runs

COSTS = {
    "samples": ("samples", 0),
    "images_per_s": ("images/s", 0),
    "minutes": ("minutes", 1),
    "peak_memory_gb": ("peak GB", 2),
    "pflops": ("PFLOPs", 3),
}
NONE = "–"


class TableError(ValueError):
    """Records that must not be put beside each other."""


@dataclass(frozen=True)
class Row:
    """One record of one trial.

    Attributes:
        benchmark: name of the benchmark in the comparison.
        metrics: metric name -> value, unit and direction.
        protocol: everything that defines the measurement; ``protocol_hash`` is its fingerprint.
        seed: None for a baseline, which has no seeds.
    """

    arm: str
    seed: int | None
    benchmark: str
    metrics: dict[str, Metric]
    protocol: dict[str, Any]
    protocol_hash: str


@dataclass
class Comparison:
    """The finished table.

    Attributes:
        columns: ``benchmark.metric`` -> unit, the primary one first.
        better: the same columns -> ``higher`` or ``lower``.
        hashes: benchmark -> protocol hash shared by everything in its columns.
        cells: arm -> column -> interval; arms in order of rank.
        costs: arm -> cost -> mean over seeds.
        baselines: name -> column -> value.
        fairness: what was held equal.
    """

    title: str
    primary: str
    columns: dict[str, str]
    better: dict[str, str]
    hashes: dict[str, str]
    protocols: dict[str, dict[str, Any]]
    cells: dict[str, dict[str, Interval]]
    costs: dict[str, dict[str, float]]
    baselines: dict[str, dict[str, float]]
    fairness: Fairness
    untrained: tuple[str, ...] = ()
    values: list[dict[str, Any]] = field(default_factory=list)

    def ranks(self, arm: str) -> bool:
        """Whether an arm has a mean of the primary metric."""
        return self.primary in self.cells[arm] and self.cells[arm][self.primary].defined


def build_table(
    rows: Sequence[Row],
    arms: Sequence[str],
    *,
    primary: str,
    fairness: Fairness,
    columns: Sequence[str] = (),
    costs: Sequence[dict[str, Any]] = (),
    baselines: Sequence[Row] = (),
    untrained: Sequence[str] = (),
    title: str = "",
) -> Comparison:
    """Ranks the arms, the best mean of the primary metric first; an arm that has none is not ranked
    and comes last.

    Args:
        rows: one per trial and benchmark. arms: all arms, also those without a record yet.
        columns: ``benchmark.metric`` names to show; all when empty.
        costs: one dict per trial: ``arm`` and the keys of ``COSTS``.
        untrained: arms that were not trained; the report tells which others lie above them.

    Raises:
        TableError: records of one benchmark have unequal protocol hashes, or one metric has two
            directions; names two of them and how they differ.
        PlanError: ``primary`` or a column names a metric that no record has.
    """
    protocols = _protocols([*rows, *baselines])
    metrics = _metrics([*rows, *baselines])
    if metrics:
        check_names("metric:", [primary, *columns], metrics)
    shown = [primary, *(c for c in (columns or metrics) if c != primary)]
    better = {column: metrics[column].better if column in metrics else "higher" for column in shown}
    values = [
        {"arm": r.arm, "seed": r.seed, "column": f"{r.benchmark}.{name}", "value": metric.value}
        for r in rows
        for name, metric in r.metrics.items()
    ]
    cells = {arm: {} for arm in arms}
    if values:
        for (arm, column), group in pd.DataFrame(values).groupby(["arm", "column"], sort=False):
            if column in shown and arm in cells:
                cells[arm][column] = interval_of_runs(group["value"].tolist())
    order = sorted(cells, key=lambda arm: _place(cells[arm].get(primary), better[primary]))
    return Comparison(
        title=title,
        primary=primary,
        columns={c: metrics[c].unit if c in metrics else "" for c in shown},
        better=better,
        hashes={name: row.protocol_hash for name, row in protocols.items()},
        protocols={name: row.protocol for name, row in protocols.items()},
        cells={arm: cells[arm] for arm in order},
        costs=_mean_costs(costs),
        baselines=_baseline_cells(baselines, shown),
        fairness=fairness,
        untrained=tuple(untrained),
        values=values,
    )


def _protocols(rows: Sequence[Row]) -> dict[str, Row]:
    """Returns one row per benchmark, after checking that all of them share its protocol hash."""
    first: dict[str, Row] = {}
    for row in rows:
        known = first.setdefault(row.benchmark, row)
        if known.protocol_hash != row.protocol_hash:
            changed = differences(flatten(known.protocol), flatten(row.protocol))
            raise TableError(
                f"benchmark {row.benchmark!r}: records of unequal protocol cannot share a "
                f"column: {_who(known)} has {known.protocol_hash}, {_who(row)} has "
                f"{row.protocol_hash}; differing: "
                f"{'; '.join(changed[:8]) or 'nothing in the protocol line itself'}. Delete "
                "records.jsonl (of a baseline: record.json) in the folder of the older one and "
                "run tools/compare.py again: it repeats the evaluation and keeps the "
                "pretraining"
            )
    return first


def _metrics(rows: Sequence[Row]) -> dict[str, Metric]:
    """Returns ``benchmark.metric`` -> one of its values, after checking that all agree on the
    direction.
    """
    first: dict[str, tuple[Row, Metric]] = {}
    for row in rows:
        for name, metric in row.metrics.items():
            column = f"{row.benchmark}.{name}"
            known, other = first.setdefault(column, (row, metric))
            if other.better != metric.better:
                raise TableError(
                    f"metric {column!r}: {other.better} is better in the record of "
                    f"{_who(known)}, {metric.better} in that of {_who(row)}. Delete "
                    "records.jsonl in the folder of the older one and run tools/compare.py "
                    "again: it repeats the evaluation and keeps the pretraining"
                )
    return {column: metric for column, (_, metric) in first.items()}


def _place(cell: Interval | None, better: str) -> float:
    """What arms are sorted by, smallest first: a mean that is not there or not defined comes last."""
    if cell is None or not cell.defined:
        return math.inf
    return cell.mean if better == "lower" else -cell.mean


def _who(row: Row) -> str:
    return row.arm if row.seed is None else f"{row.arm}/seed_{row.seed}"


def _mean_costs(costs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    if not costs:
        return {}
    frame = (
        pd.DataFrame(costs)
        .reindex(columns=["arm", *COSTS])
        .astype({name: "float64" for name in COSTS})
    )
    means = frame.groupby("arm").mean().dropna(axis="columns", how="all")
    return {arm: row.dropna().to_dict() for arm, row in means.iterrows()}


def _baseline_cells(rows: Sequence[Row], shown: Sequence[str]) -> dict[str, dict[str, float]]:
    cells: dict[str, dict[str, float]] = {}
    for row in rows:
        for name, metric in row.metrics.items():
            if f"{row.benchmark}.{name}" in shown:
                cells.setdefault(row.arm, {})[f"{row.benchmark}.{name}"] = metric.value
    return cells


def frame(table: Comparison) -> pd.DataFrame:
    """Returns the table as numbers: one row per arm or baseline; ``X``, ``X ±`` and cost columns."""
    lines = []
    for rank, (arm, cells) in enumerate(table.cells.items(), start=1):
        line: dict[str, Any] = {
            "rank": rank if table.ranks(arm) else None,
            "arm": arm,
            "seeds": max([c.n for c in cells.values()], default=0),
        }
        for column in table.columns:
            line[column] = cells[column].mean if column in cells else None
            line[f"{column} ±"] = cells[column].half if column in cells else None
        lines.append(line | table.costs.get(arm, {}))
    for name, cells in table.baselines.items():
        lines.append({"rank": None, "arm": f"baseline {name}", "seeds": 0, **cells})
    return pd.DataFrame(lines)


def text_cells(table: Comparison) -> tuple[list[str], list[list[str]]]:
    """Returns headings and rows of the table as people read it."""
    costs = [name for name in COSTS if any(name in c for c in table.costs.values())]
    units = [_heading(column, unit, table.better[column]) for column, unit in table.columns.items()]
    headings = ["rank", "arm", *units, "seeds", *(COSTS[c][0] for c in costs)]
    lines = []
    for rank, (arm, cells) in enumerate(table.cells.items(), start=1):
        shown = [cells[c].text() if c in cells else NONE for c in table.columns]
        cost = table.costs.get(arm, {})
        spent = [f"{cost[c]:,.{COSTS[c][1]}f}" if c in cost else NONE for c in costs]
        count = str(max([c.n for c in cells.values()], default=0))
        lines.append([str(rank) if table.ranks(arm) else NONE, arm, *shown, count, *spent])
    for name, values in table.baselines.items():
        shown = [f"{values[c]:.2f}" if c in values else NONE for c in table.columns]
        lines.append([NONE, f"({name})", *shown, NONE, *[NONE] * len(costs)])
    return headings, lines


def _heading(column: str, unit: str, better: str) -> str:
    """``benchmark.metric [unit]``, with an arrow where lower is better."""
    return (
        column
        + (f" [{unit}]" if unit and unit != "1" else "")
        + (" ↓" if better == "lower" else "")
    )


def ranking(table: Comparison) -> list[str]:
    """Returns the sentences on order and intervals: what ranks, what ± is, and what has no mean and
    why.
    """
    lower = " (lower is better)" if table.better[table.primary] == "lower" else ""
    sentences = [
        f"Ranked by {table.primary}{lower}; mean ± half-width of the 95 % t-interval over seeds."
    ]
    for line in table.values:
        if line["column"] in table.columns and not math.isfinite(line["value"]):
            sentences.append(
                f"{line['column']} of {line['arm']}, seed {line['seed']}, is not a number in "
                "its record: the arm has no mean of it."
            )
    return sentences


def to_markdown(table: Comparison) -> str:
    """Returns the table, its protocols and what was held equal, as Markdown."""
    headings, lines = text_cells(table)
    out = [f"| {' | '.join(headings)} |", f"|{'|'.join(['---'] * len(headings))}|"]
    out += [f"| {' | '.join(line)} |" for line in lines]
    out += ["", *ranking(table), *verdicts(table)]
    out += ["", "Protocols (records of unequal protocol never share a column):", ""]
    out += [
        f"- `{name}` {digest}: {_protocol_line(table.protocols[name])}"
        for name, digest in table.hashes.items()
    ]
    whole, partly = table.fairness.groups()
    out += ["", f"Held equal in all arms: {', '.join(whole) or 'nothing as a whole'}."]
    if table.fairness.different:
        out += ["", f"What differs (in {', '.join(partly)}):", ""]
        out += [
            f"- `{key}`: {_by_value(values)}" for key, values in table.fairness.different.items()
        ]
    return "\n".join(out) + "\n"


def _by_value(values: dict[str, Any]) -> str:
    """``0.1 (A, B) · 0.2 (C)``: arms grouped by their value."""
    groups: dict[str, list[str]] = {}
    for arm, value in values.items():
        groups.setdefault(str(value), []).append(arm)
    return " · ".join(f"{value} ({', '.join(arms)})" for value, arms in groups.items())


def _protocol_line(protocol: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in flatten(protocol).items())


def verdicts(table: Comparison) -> list[str]:
    """Returns a sentence on which arms lie above each untrained one, by interval and by mean; below
    it where lower is better."""
    sentences = []
    better = table.better[table.primary]
    side, sign = ("below", -1) if better == "lower" else ("above", 1)
    for control in table.untrained:
        base = table.cells.get(control, {}).get(table.primary)
        if base is None or not base.defined:
            continue
        others = {
            arm: cells[table.primary]
            for arm, cells in table.cells.items()
            if arm not in table.untrained and table.primary in cells
        }
        clear = [arm for arm, interval in others.items() if interval.better_than(base, better)]
        ahead = [arm for arm, interval in others.items() if sign * (interval.mean - base.mean) > 0]
        mean_only = [arm for arm in ahead if arm not in clear]
        behind = [arm for arm in others if arm not in clear and arm not in mean_only]
        parts = [
            f"{words}: {', '.join(names)}"
            for words, names in (
                (f"{side} it with intervals apart", clear),
                (f"{side} it by the mean only", mean_only),
                (f"not {side} it", behind),
            )
            if names
        ]
        sentences.append(f"Against {control} – {'; '.join(parts) or 'no other arm has finished'}.")
    return sentences


def to_json(table: Comparison) -> str:
    """Returns everything in the table, with the values per seed, as JSON."""
    numbers = frame(table).to_json(orient="records", double_precision=10)
    return json.dumps(
        {
            "title": table.title,
            "primary": table.primary,
            "units": table.columns,
            "better": table.better,
            "protocol_hashes": table.hashes,
            "protocols": table.protocols,
            "rows": json.loads(numbers),
            "values": [
                {**v, "value": v["value"] if math.isfinite(v["value"]) else None}
                for v in table.values
            ],
            "held_equal": table.fairness.equal,
            "differs": table.fairness.different,
        },
        indent=1,
        default=str,
    )


def to_screen(table: Comparison) -> list[Table]:
    """Returns the results and, where there are any, the costs as two tables, each made to fit 80
    characters.
    """
    headings, lines = text_cells(table)
    results = 3 + len(table.columns)  # rank, arm, metrics, seeds; the rest is cost
    screens = [_screen(table.title, headings[:results], [line[:results] for line in lines])]
    if len(headings) > results:
        spent = [
            [line[1], *line[results:]]
            for line in lines
            if any(cell != NONE for cell in line[results:])
        ]
        screens.append(
            _screen("Cost of pretraining, mean over seeds", ["arm", *headings[results:]], spent)
        )
    return screens


def _screen(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    screen = Table(title=title, title_justify="left")
    for heading in headings:
        # Three metrics fit 80 characters if "retrieval.mIoU [%]" takes three lines and what needs
        # no words has none.
        short = {"rank": "#", "seeds": "n"}.get(
            heading, heading.replace(".", "\n", 1).replace(" [", "\n[")
        )
        screen.add_column(short, justify="left" if heading == "arm" else "right", no_wrap=True)
    for line in lines:
        screen.add_row(
            *line, style="dim" if any(cell.startswith("(") for cell in line[:2]) else None
        )
    return screen
