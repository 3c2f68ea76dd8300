"""From the trials' records to one table: arms ranked by the primary metric, mean ± 95 % interval over seeds, cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from rich.table import Table

from benchmarks.compare.configs import differences, flatten
from benchmarks.compare.names import check_names
from benchmarks.compare.statistics import Fairness, Interval, t_interval

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
        metrics: metric name -> (value, unit).
        protocol: everything that defines the measurement; ``protocol_hash`` is its fingerprint.
        seed: None for a baseline, which has no seeds.
    """

    arm: str
    seed: int | None
    benchmark: str
    metrics: dict[str, tuple[float, str]]
    protocol: dict[str, Any]
    protocol_hash: str


@dataclass
class Comparison:
    """The finished table.

    Attributes:
        columns: ``benchmark.metric`` -> unit, the primary one first.
        hashes: benchmark -> protocol hash shared by everything in its columns.
        cells: arm -> column -> interval; arms in order of rank.
        costs: arm -> cost -> mean over seeds.
        baselines: name -> column -> value.
        fairness: what was held equal.
    """

    title: str
    primary: str
    columns: dict[str, str]
    hashes: dict[str, str]
    protocols: dict[str, dict[str, Any]]
    cells: dict[str, dict[str, Interval]]
    costs: dict[str, dict[str, float]]
    baselines: dict[str, dict[str, float]]
    fairness: Fairness
    untrained: tuple[str, ...] = ()
    values: list[dict[str, Any]] = field(default_factory=list)


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
    """Ranks the arms.

    Args:
        rows: one per trial and benchmark. arms: all arms, also those without a record yet.
        columns: ``benchmark.metric`` names to show; all when empty.
        costs: one dict per trial: ``arm`` and the keys of ``COSTS``.
        untrained: arms that were not trained; the report tells which others lie above them.

    Raises:
        TableError: records of one benchmark have unequal protocol hashes; names two of them and how they differ.
        PlanError: ``primary`` or a column names a metric that no record has.
    """
    protocols = _protocols([*rows, *baselines])
    units = {f"{r.benchmark}.{m}": unit for r in [*rows, *baselines] for m, (_, unit) in r.metrics.items()}
    if units:
        check_names("metric:", [primary, *columns], units)
    shown = [primary, *(c for c in (columns or units) if c != primary)]
    values = [
        {"arm": r.arm, "seed": r.seed, "column": f"{r.benchmark}.{m}", "value": value}
        for r in rows
        for m, (value, _) in r.metrics.items()
    ]
    cells = {arm: {} for arm in arms}
    if values:
        for (arm, column), group in pd.DataFrame(values).groupby(["arm", "column"], sort=False):
            if column in shown and arm in cells:
                cells[arm][column] = t_interval(group["value"].tolist())
    order = sorted(cells, key=lambda a: -cells[a][primary].mean if primary in cells[a] else float("inf"))
    return Comparison(
        title=title,
        primary=primary,
        columns={c: units.get(c, "") for c in shown},
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
                f"benchmark {row.benchmark!r}: records of unequal protocol cannot share a column: "
                f"{_who(known)} has {known.protocol_hash}, {_who(row)} has {row.protocol_hash}; "
                f"differing: {'; '.join(changed[:8]) or 'nothing in the protocol line itself'}. "
                "Delete records.jsonl (of a baseline: record.json) in the folder of the older one and run "
                "tools/compare.py again: it repeats the evaluation and keeps the pretraining"
            )
    return first


def _who(row: Row) -> str:
    return row.arm if row.seed is None else f"{row.arm}/seed_{row.seed}"


def _mean_costs(costs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    if not costs:
        return {}
    frame = pd.DataFrame(costs).reindex(columns=["arm", *COSTS]).astype({name: "float64" for name in COSTS})
    means = frame.groupby("arm").mean().dropna(axis="columns", how="all")
    return {arm: row.dropna().to_dict() for arm, row in means.iterrows()}


def _baseline_cells(rows: Sequence[Row], shown: Sequence[str]) -> dict[str, dict[str, float]]:
    cells: dict[str, dict[str, float]] = {}
    for row in rows:
        for metric, (value, _) in row.metrics.items():
            if f"{row.benchmark}.{metric}" in shown:
                cells.setdefault(row.arm, {})[f"{row.benchmark}.{metric}"] = value
    return cells


def frame(table: Comparison) -> pd.DataFrame:
    """Returns the table as numbers: one row per arm or baseline; ``X``, ``X ±`` and cost columns."""
    lines = []
    for rank, (arm, cells) in enumerate(table.cells.items(), start=1):
        ranked = table.primary in cells
        line: dict[str, Any] = {
            "rank": rank if ranked else None,
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
    units = [f"{column} [{unit}]" if unit and unit != "1" else column for column, unit in table.columns.items()]
    headings = ["rank", "arm", *units, "seeds", *(COSTS[c][0] for c in costs)]
    lines = []
    for rank, (arm, cells) in enumerate(table.cells.items(), start=1):
        shown = [cells[c].text() if c in cells else NONE for c in table.columns]
        cost = table.costs.get(arm, {})
        spent = [f"{cost[c]:,.{COSTS[c][1]}f}" if c in cost else NONE for c in costs]
        count = str(max([c.n for c in cells.values()], default=0))
        lines.append([str(rank) if table.primary in cells else NONE, arm, *shown, count, *spent])
    for name, values in table.baselines.items():
        shown = [f"{values[c]:.2f}" if c in values else NONE for c in table.columns]
        lines.append([NONE, f"({name})", *shown, NONE, *[NONE] * len(costs)])
    return headings, lines


def to_markdown(table: Comparison) -> str:
    """Returns the table, its protocols and what was held equal, as Markdown."""
    headings, lines = text_cells(table)
    out = [f"| {' | '.join(headings)} |", f"|{'|'.join(['---'] * len(headings))}|"]
    out += [f"| {' | '.join(line)} |" for line in lines]
    out += ["", f"Ranked by {table.primary}; mean ± half-width of the 95 % t-interval over seeds.", *verdicts(table)]
    out += ["", "Protocols (records of unequal protocol never share a column):", ""]
    out += [f"- `{name}` {digest}: {_protocol_line(table.protocols[name])}" for name, digest in table.hashes.items()]
    whole, partly = table.fairness.groups()
    out += ["", f"Held equal in all arms: {', '.join(whole) or 'nothing as a whole'}."]
    if table.fairness.different:
        out += ["", f"What differs (in {', '.join(partly)}):", ""]
        out += [f"- `{key}`: {_by_value(values)}" for key, values in table.fairness.different.items()]
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
    """Returns a sentence on which arms lie above each untrained one, by interval and by mean."""
    sentences = []
    for lower in table.untrained:
        base = table.cells.get(lower, {}).get(table.primary)
        if base is None:
            continue
        others = {
            a: c[table.primary] for a, c in table.cells.items() if a not in table.untrained and table.primary in c
        }
        clear = [arm for arm, interval in others.items() if interval.above(base)]
        mean_only = [arm for arm, interval in others.items() if arm not in clear and interval.mean > base.mean]
        below = [arm for arm in others if arm not in clear and arm not in mean_only]
        parts = [
            f"{words}: {', '.join(names)}"
            for words, names in (
                ("above it with intervals apart", clear),
                ("above it by the mean only", mean_only),
                ("not above it", below),
            )
            if names
        ]
        sentences.append(f"Against {lower} – {'; '.join(parts) or 'no other arm has finished'}.")
    return sentences


def to_json(table: Comparison) -> str:
    """Returns everything in the table, with the values per seed, as JSON."""
    numbers = frame(table).to_json(orient="records", double_precision=10)
    return json.dumps(
        {
            "title": table.title,
            "primary": table.primary,
            "units": table.columns,
            "protocol_hashes": table.hashes,
            "protocols": table.protocols,
            "rows": json.loads(numbers),
            "values": table.values,
            "held_equal": table.fairness.equal,
            "differs": table.fairness.different,
        },
        indent=1,
        default=str,
    )


def to_screen(table: Comparison) -> list[Table]:
    """Returns the results and, where there are any, the costs as two tables, each made to fit 80 characters."""
    headings, lines = text_cells(table)
    results = 3 + len(table.columns)  # rank, arm, metrics, seeds; the rest is cost
    screens = [_screen(table.title, headings[:results], [line[:results] for line in lines])]
    if len(headings) > results:
        spent = [[line[1], *line[results:]] for line in lines if any(cell != NONE for cell in line[results:])]
        screens.append(_screen("Cost of pretraining, mean over seeds", ["arm", *headings[results:]], spent))
    return screens


def _screen(title: str, headings: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    screen = Table(title=title, title_justify="left")
    for heading in headings:
        # Three metrics fit 80 characters if "retrieval.mIoU [%]" takes three lines and what needs no words has none.
        short = {"rank": "#", "seeds": "n"}.get(heading, heading.replace(".", "\n", 1).replace(" [", "\n["))
        screen.add_column(short, justify="left" if heading == "arm" else "right", no_wrap=True)
    for line in lines:
        screen.add_row(*line, style="dim" if any(cell.startswith("(") for cell in line[:2]) else None)
    return screen
