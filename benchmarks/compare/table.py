"""From the trials' records to one table: arms ranked by the primary metric, mean ± 95 % interval
over seeds, cost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

import pandas as pd
import rich.table

from benchmarks.compare.configs import differences, flatten
from benchmarks.compare.fairness import Fairness
from benchmarks.compare.names import check_names
from benchmarks.core.record import Record
from benchmarks.core.statistics import Interval
from benchmarks.report.renderers import plain_rows, to_frame, to_markdown, to_screen
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.statistics import Statistic
from benchmarks.report.statistics.intervals import mean_over_runs
from benchmarks.report.statistics.ranking import Ranking, rank
from benchmarks.report.table import (
    Cell,
    Column,
    Entry,
    Table,
    TableError,
    build,
    metrics_of,
    require_one_protocol,
)

RANK, ARM, SEEDS = Column("rank", digits=0), Column("arm", is_text=True), Column("seeds", digits=0)
COSTS = (
    Column("samples", digits=0),
    Column("images_per_s", "images/s", digits=0),
    Column("minutes", digits=1),
    Column("peak_memory_gb", "peak GB"),
    Column("pflops", "PFLOPs", digits=3),
)


@dataclass
class Comparison:
    """The finished table of a comparison and what stands around it.

    Attributes:
        table: arms in order of rank, then baselines; the primary metric first.
        primary: its column.
        means: arm -> mean of the primary metric, in the same order; None where there is none.
        records: benchmark -> one record, whose protocol all share that stand in its columns.
        values: one dict (arm, seed, column, value) per number of a trial.
        fairness: what was held equal.
        untrained: arms that the others are compared with.
        rankings: column of a metric -> what may be said of the order of its arms; columns with
            fewer than two arms of two seeds have none.
    """

    table: Table
    primary: Column
    means: dict[str, Interval | None]
    records: dict[str, Record]
    values: list[dict[str, Any]]
    fairness: Fairness
    untrained: tuple[str, ...] = ()
    rankings: dict[str, Ranking] = field(default_factory=dict)

    @property
    def metrics(self) -> list[Column]:
        """The columns that hold a metric."""
        return [column for column in self.table.columns if column.better]


def build_table(
    arms: Mapping[str, Sequence[Run]],
    *,
    primary: str,
    fairness: Fairness,
    columns: Sequence[str] = (),
    costs: Sequence[dict[str, Any]] = (),
    baselines: Mapping[str, Sequence[Run]] | None = None,
    untrained: Sequence[str] = (),
    statistics: Sequence[Statistic] = (),
    title: str = "",
) -> Comparison:
    """Ranks the arms, the best mean of the primary metric first; an arm that has none is not ranked
    and comes last.

    Args:
        arms: arm -> its runs, one per trial and benchmark; all arms, also those without any yet.
        primary: ``benchmark.metric`` that ranks.
        fairness: what was held equal.
        columns: ``benchmark.metric`` names to show; all when empty.
        costs: one dict per trial: ``arm`` and names of ``COSTS``.
        baselines: name -> its runs.
        untrained: arms that were not trained; the report tells which others lie above them.
        statistics: further columns beside each metric. Those of pairs compare with the untrained
            arms, without any with the first of the table.
        title: above the table.

    Raises:
        TableError: records of one benchmark have unequal protocol hashes, or one metric has two
            directions; names two of them and how they differ.
        PlanError: ``primary`` or a column names a metric that no record has.
    """
    baselines = baselines or {}
    runs = list(chain(*arms.values(), *baselines.values()))
    try:
        records, known = require_one_protocol(runs), metrics_of(runs)
    except TableError as error:
        raise TableError(_advice(error), *error.runs) from error
    if known:
        check_names("metric:", [primary, *columns], known)
    shown = [primary, *(column for column in columns or known if column != primary)]
    first = known.get(primary, Column(primary, better="higher"))
    means = _ranked(arms, first)
    spent, entries = _mean_costs(costs), []
    for place, (arm, mean) in enumerate(means.items(), start=1):
        ranked = mean is not None and mean.defined
        seeds = max(len(sample_of(arm, arms[arm], column).runs) for column in shown)
        cells = {RANK.name: place if ranked else None, ARM.name: arm, SEEDS.name: seeds}
        cells |= spent.get(arm, {})
        entries.append(Entry(arm, arms[arm], cells, kind="first" if ranked and place == 1 else ""))
    for name, own in baselines.items():
        if not set(metrics_of(own)).isdisjoint(shown):
            entries.append(Entry(name, own, {ARM.name: name}, kind="baseline"))
    table = build(
        entries,
        title=title,
        before=(RANK, ARM),
        metrics=shown,
        after=(SEEDS, *(cost for cost in COSTS if cost.name in set().union(*spent.values()))),
        statistics=statistics,
        references=tuple(untrained) or tuple(means)[:1],
    )
    return Comparison(
        table=table,
        primary=first,
        means=means,
        records=records,
        values=_values(arms),
        fairness=fairness,
        untrained=tuple(untrained),
        rankings=_rankings(arms, shown),
    )


def _rankings(arms: Mapping[str, Sequence[Run]], columns: Sequence[str]) -> dict[str, Ranking]:
    rankings = {}
    for column in columns:
        ranking = rank([sample_of(arm, runs, column) for arm, runs in arms.items()])
        if ranking is not None:
            rankings[column] = ranking
    return rankings


def _advice(error: TableError) -> str:
    """The error with how the two records differ, and what to do."""
    older, newer = error.runs
    changed = differences(flatten(older.record.protocol), flatten(newer.record.protocol))
    changed = "; ".join(changed[:8])
    return (
        f"{error}{f'; their protocols differ in {changed}' if changed else ''}. Delete "
        "records.jsonl (of a baseline: record.json) in the folder of the older one and run "
        "pixelpretext compare again: it repeats the evaluation and keeps the pretraining"
    )


def _ranked(arms: Mapping[str, Sequence[Run]], primary: Column) -> dict[str, Interval | None]:
    """Arm -> mean of the primary metric, the best first; None where no run has it."""
    means: dict[str, Interval | None] = {}
    for arm, runs in arms.items():
        sample = sample_of(arm, runs, primary.name)
        means[arm] = mean_over_runs(sample) if sample.runs else None

    def place(arm: str) -> float:
        mean = means[arm]
        if mean is None or not mean.defined:
            return math.inf
        return mean.mean if primary.better == "lower" else -mean.mean

    return {arm: means[arm] for arm in sorted(means, key=place)}


def _values(arms: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    values = []
    for arm, runs in arms.items():
        for run in runs:
            for name, metric in run.record.metrics.items():
                place = dict(arm=arm, seed=run.pair, column=run.column(name))
                values.append(place | dict(value=metric.value))
    return values


def _mean_costs(costs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Arm -> cost -> mean over the trials that know it."""
    if not costs:
        return {}
    names = [cost.name for cost in COSTS]
    frame = pd.DataFrame(costs).reindex(columns=["arm", *names])
    means = frame.astype(dict.fromkeys(names, "float64")).groupby("arm").mean()
    return {arm: row.dropna().to_dict() for arm, row in means.iterrows()}


def frame(comparison: Comparison) -> pd.DataFrame:
    """Returns the table as numbers: a row per arm or baseline; ``X``, ``X ±`` and cost columns."""
    numbers = to_frame(comparison.table)
    numbers[SEEDS.name] = numbers[SEEDS.name].fillna(0).astype(int)
    first = [RANK.name, ARM.name, SEEDS.name]
    return numbers[[*first, *numbers.columns.drop(first)]]


def ranking(comparison: Comparison) -> list[str]:
    """Returns the sentences on order and intervals: what ranks, what ± is, what further statistics
    are, and what has no mean and why.
    """
    primary = comparison.primary
    lower = " (lower is better)" if primary.better == "lower" else ""
    sentences = [
        f"Ranked by {primary.name}{lower}; mean ± half-width of the 95 % t-interval over seeds.",
        *comparison.table.notes,
    ]
    shown = {column.name for column in comparison.metrics}
    for line in comparison.values:
        if line["column"] in shown and not math.isfinite(line["value"]):
            sentences.append(
                f"{line['column']} of {line['arm']}, seed {line['seed']}, is not a number in "
                "its record: the arm has no mean of it."
            )
    return sentences


def verdicts(comparison: Comparison) -> list[str]:
    """Returns a sentence on which arms lie above each untrained one, by interval and by mean; below
    it where lower is better."""
    better, sentences = comparison.primary.better, []
    side = "below" if better == "lower" else "above"
    for control in comparison.untrained:
        base = comparison.means.get(control)
        if base is None or not base.defined:
            continue
        groups: dict[str, list[str]] = {
            f"{side} it with intervals apart": [],
            f"{side} it by the mean only": [],
            f"not {side} it": [],
        }
        apart, ahead, behind = groups.values()
        for arm, mean in comparison.means.items():
            if mean is None or arm in comparison.untrained:
                continue
            if mean.better_than(base, better):
                apart.append(arm)
            elif mean.mean < base.mean if better == "lower" else mean.mean > base.mean:
                ahead.append(arm)
            else:
                behind.append(arm)
        parts = [f"{group}: {', '.join(names)}" for group, names in groups.items() if names]
        sentences.append(f"Against {control} – {'; '.join(parts) or 'no other arm has finished'}.")
    return sentences


def as_markdown(comparison: Comparison) -> str:
    """Returns the table, its protocols and what was held equal, as Markdown."""
    out = [*to_markdown(comparison.table), ""]
    out += [*ranking(comparison), *verdicts(comparison)]
    out += ["", "Protocols (records of unequal protocol never share a column):", ""]
    for name, record in comparison.records.items():
        settings = ", ".join(f"{key}={value}" for key, value in flatten(record.protocol).items())
        out.append(f"- `{name}` {record.protocol_hash}: {settings}")
    whole, partly = comparison.fairness.groups()
    out += ["", f"Held equal in all arms: {', '.join(whole) or 'nothing as a whole'}."]
    different = comparison.fairness.different
    if different:
        out += ["", f"What differs (in {', '.join(partly)}):", ""]
        out += [f"- `{key}`: {_by_value(values)}" for key, values in different.items()]
    return "\n".join(out) + "\n"


def _by_value(values: dict[str, Any]) -> str:
    """``0.1 (A, B) · 0.2 (C)``: arms grouped by their value."""
    groups: dict[str, list[str]] = {}
    for arm, value in values.items():
        groups.setdefault(str(value), []).append(arm)
    return " · ".join(f"{value} ({', '.join(arms)})" for value, arms in groups.items())


def as_json(comparison: Comparison) -> str:
    """Returns everything in the table, with the values per seed, as JSON."""
    values = []
    for line in comparison.values:
        value = line["value"]
        values.append(line | dict(value=value if math.isfinite(value) else None))
    rankings = {name: asdict(ranking) for name, ranking in comparison.rankings.items()}
    hashes, protocols, units, better = {}, {}, {}, {}
    for name, record in comparison.records.items():
        hashes[name], protocols[name] = record.protocol_hash, record.protocol
    for column in comparison.metrics:
        units[column.name], better[column.name] = column.unit, column.better
    return json.dumps(
        {
            "title": comparison.table.title,
            "primary": comparison.primary.name,
            "units": units,
            "better": better,
            "protocol_hashes": hashes,
            "protocols": protocols,
            "rows": plain_rows(frame(comparison)),
            "values": values,
            "rankings": rankings,
            "held_equal": comparison.fairness.equal,
            "differs": comparison.fairness.different,
        },
        indent=1,
        default=str,
    )


def screens(comparison: Comparison) -> list[rich.table.Table]:
    """Returns the results and, where there are any, further statistics and costs, each as a table
    made to fit 80 characters.
    """
    metrics = [column.name for column in comparison.metrics]
    results = comparison.table.select([RANK.name, ARM.name, *metrics, SEEDS.name])
    short = {RANK.name: "#", SEEDS.name: "n"}
    parts = [to_screen(replace(results, notes=()), short=short)]
    further, costs = [], []
    for column in comparison.table.columns:
        if column in COSTS:
            costs.append(column)
        elif column.name not in (RANK.name, ARM.name, SEEDS.name, *metrics):
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
