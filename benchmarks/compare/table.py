"""From the trials' records to one table: arms in the order of the primary metric with the ranks
that they may have, intervals, cost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import pandas as pd

from benchmarks.compare.configs import differences, flatten
from benchmarks.compare.costs import mean_costs
from benchmarks.compare.fairness import Fairness, by_value
from benchmarks.compare.margins import Margin, margin_table
from benchmarks.compare.names import check_names
from benchmarks.compare.rows import (
    ARM,
    LETTERS,
    RANK,
    SEEDS,
    count_cells,
    count_columns,
    key_columns,
    kind_of_row,
    known_costs,
    rank_cells,
)
from benchmarks.compare.stopping import Short, without
from benchmarks.core.record import Record
from benchmarks.core.statistics import Interval
from benchmarks.report.renderers import plain_rows, to_frame, to_markdown
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.statistics import Statistic
from benchmarks.report.statistics.intervals import mean_over_runs
from benchmarks.report.statistics.planned import PlannedPair, planned_pair
from benchmarks.report.statistics.ranking import Ranking, intervals_of, rankings_of
from benchmarks.report.statistics.ranks import with_rankings
from benchmarks.report.statistics.sentences import against, summary
from benchmarks.report.table import (
    Column,
    Entry,
    Table,
    TableError,
    build,
    metrics_of,
    require_one_protocol,
)


@dataclass
class Comparison:
    """The finished table of a comparison and what stands around it.

    Attributes:
        table: arms in order of their means, then baselines; the primary metric first.
        primary: its column.
        means: arm -> mean of the primary metric, in the same order; None where there is none.
        records: benchmark -> one record, whose protocol all share that stand in its columns.
        values: one dict (arm, seed, column, value) per number of a trial.
        fairness: what was held equal.
        untrained: arms that the others are compared with.
        rankings: column of a metric -> what may be said of the order of its arms; columns with
            fewer than two arms of two seeds have none.
        planned: the pair that the plan names, if both arms have two seeds in common.
        failures: arm -> seed -> how often its trial failed, which has not finished.
        margins: what each key of a sweep does by itself.
        stopped: arm -> seed -> what its training got, which was ended before its budget was spent.
        stopping: the rule that did so and what it did, for JSON; None without one.
    """

    table: Table
    primary: Column
    means: dict[str, Interval | None]
    records: dict[str, Record]
    values: list[dict[str, Any]]
    fairness: Fairness
    untrained: tuple[str, ...] = ()
    rankings: dict[str, Ranking] = field(default_factory=dict)
    planned: PlannedPair | None = None
    failures: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    margins: tuple[Margin, ...] = ()
    stopped: Mapping[str, Mapping[int, Short]] = field(default_factory=dict)
    stopping: dict[str, Any] | None = None

    @property
    def metrics(self) -> list[Column]:
        """The columns that hold a metric."""
        return [column for column in self.table.columns if column.better]

    @property
    def margin_tables(self) -> list[Table]:
        """What stands below the table of a sweep, one per key."""
        return [margin_table(margin, self.metrics) for margin in self.margins]


def build_table(
    arms: Mapping[str, Sequence[Run]],
    *,
    primary: str,
    fairness: Fairness,
    columns: Sequence[str] = (),
    costs: Sequence[dict[str, Any]] = (),
    baselines: Mapping[str, Sequence[Run]] | None = None,
    untrained: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, str]] | None = None,
    statistics: Sequence[Statistic] = (),
    planned: tuple[str, str] | None = None,
    failures: Mapping[str, Mapping[int, int]] | None = None,
    stopped: Mapping[str, Mapping[int, Short]] | None = None,
    title: str = "",
) -> Comparison:
    """Orders the arms, the best mean of the primary metric first, an arm that has none last, behind
    those with a stopped trial. Ranks are those that an arm may have, see :class:`Ranking`; arms
    with fewer than two seeds or a stopped trial have none.

    Args:
        arms: arm -> its runs, one per trial and benchmark; all arms, also those without any yet.
        primary: ``benchmark.metric`` that ranks.
        fairness: what was held equal.
        columns: ``benchmark.metric`` names to show; all when empty.
        costs: one dict per trial: ``arm`` and names of ``COSTS``.
        baselines: name -> its runs.
        untrained: arms that were not trained; the report tells which others lie above them.
        settings: arm -> key that a sweep changes -> its value; a column each.
        statistics: further columns beside each metric. Those of pairs compare with the untrained
            arms, without any with the first of the table.
        planned: two arms that were to be compared before anything ran.
        failures: arm -> seed -> how often its trial failed, which has not finished.
        stopped: arm -> seed -> what it got, of the trials that ended before their budget was spent.
        title: above the table.

    Raises:
        TableError: records of one benchmark have unequal protocol hashes, or one metric has two
            directions; names two of them and how they differ.
        PlanError: ``primary`` or a column names a metric that no record has.
    """
    baselines, settings, failures = baselines or {}, settings or {}, failures or {}
    stopped = stopped or {}
    runs = list(chain(*arms.values(), *baselines.values()))
    try:
        records, known = require_one_protocol(runs), metrics_of(runs)
    except TableError as error:
        raise TableError(_advice(error), *error.runs) from error
    if known:
        check_names("metric:", [primary, *columns], known)
    shown = [primary, *(column for column in columns or known if column != primary)]
    first = known.get(primary, Column(primary, better="higher"))
    means = _ranked(arms, first, stopped)
    rankings = rankings_of(without(stopped, arms), shown)
    spent = mean_costs(costs)
    cells = count_cells(
        {arm: arms[arm] for arm in means}, shown, failures=failures, stopped=stopped
    )
    for by_arm in (settings, rank_cells(rankings.get(primary)), spent):
        for arm, extra in by_arm.items():
            cells[arm] |= extra
    entries = [
        Entry(arm, arms[arm], cells[arm], kind=kind_of_row(cells[arm], stopped)) for arm in means
    ]
    for name, own in baselines.items():
        if not set(metrics_of(own)).isdisjoint(shown):
            entries.append(Entry(name, own, {ARM.name: name}, kind="baseline"))
    table = build(
        entries,
        title=title,
        before=(RANK, ARM, *key_columns(settings), LETTERS),
        metrics=shown,
        after=(SEEDS, *count_columns(failures, stopped), *known_costs(spent)),
        statistics=with_rankings(statistics, rankings),
        references=tuple(untrained) or tuple(means)[:1],
        intervals=intervals_of(rankings),
    )
    return Comparison(
        table=table,
        primary=first,
        means=means,
        records=records,
        values=_values(arms, stopped),
        fairness=fairness,
        untrained=tuple(untrained),
        rankings=rankings,
        planned=None if set(planned or ()) & set(stopped) else _planned(arms, planned, primary),
        failures=failures,
        stopped=stopped,
    )


def _planned(
    arms: Mapping[str, Sequence[Run]], names: tuple[str, str] | None, column: str
) -> PlannedPair | None:
    if names is None:
        return None
    first, second = (sample_of(name, arms[name], column) for name in names)
    return planned_pair(first, second)


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


def _ranked(
    arms: Mapping[str, Sequence[Run]], primary: Column, stopped: Mapping[str, Any]
) -> dict[str, Interval | None]:
    """Arm -> mean of the primary metric, the best first, stopped ones last; None: no run has it."""
    means: dict[str, Interval | None] = {}
    for arm, runs in arms.items():
        sample = sample_of(arm, runs, primary.name)
        means[arm] = mean_over_runs(sample) if sample.runs else None

    def place(arm: str) -> tuple[bool, float]:
        mean = means[arm]
        if mean is None or not mean.defined:
            return arm in stopped, math.inf
        return arm in stopped, mean.mean if primary.better == "lower" else -mean.mean

    return {arm: means[arm] for arm in sorted(means, key=place)}


def _values(
    arms: Mapping[str, Sequence[Run]], stopped: Mapping[str, Mapping[int, Short]]
) -> list[dict[str, Any]]:
    values = []
    for arm, runs in arms.items():
        for run in runs:
            short = stopped.get(arm, {}).get(run.pair)
            mark = dict(stopped=short.samples) if short else {}
            for name, metric in run.record.metrics.items():
                place = dict(arm=arm, seed=run.pair, column=run.column(name))
                values.append(place | dict(value=metric.value) | mark)
    return values


def frame(comparison: Comparison) -> pd.DataFrame:
    """Returns the table as numbers: a row per arm or baseline; ``X``, ``X ±`` and cost columns."""
    numbers = to_frame(comparison.table)
    numbers[SEEDS.name] = numbers[SEEDS.name].fillna(0).astype(int)
    first = [RANK.name, ARM.name, SEEDS.name]
    return numbers[[*first, *numbers.columns.drop(first)]]


def ranking(comparison: Comparison) -> list[str]:
    """Returns the sentences on order, ranks and intervals: what they are, what they leave open,
    what further statistics are, and what has no rank or mean and why.
    """
    primary, lower = comparison.primary, ""
    if primary.better == "lower":
        lower = " (lower is better)"
    sentences = [f"Ordered by {primary.name}{lower}, the best mean first."]
    own = comparison.rankings.get(primary.name)
    if own is None:
        sentences.append(
            "Nothing is ranked: that needs two arms with two seeds each. ± is half of the 95 % "
            "t-interval over seeds; one seed has none and settles nothing."
        )
    else:
        sentences += [*own.sentences, *_unranked(comparison, own)]
    for arm, seeds in comparison.failures.items():
        times = ", ".join(f"seed {seed} failed {count} ×" for seed, count in seeds.items())
        sentences.append(f"{arm}: {times}, see log.txt there; the arm stands on its other seeds.")
    for column, other in comparison.rankings.items():
        if column != primary.name:
            sentences.append(summary(other))
    sentences += comparison.table.notes
    shown = {column.name for column in comparison.metrics}
    for line in comparison.values:
        if line["column"] in shown and not math.isfinite(line["value"]):
            sentences.append(
                f"{line['column']} of {line['arm']}, seed {line['seed']}, is not a number in "
                "its record: the arm has no mean of it."
            )
    return sentences


def _unranked(comparison: Comparison, ranking: Ranking) -> list[str]:
    ranked = {arm.arm for arm in ranking.arms}
    others = [arm for arm in without(comparison.stopped, comparison.means) if arm not in ranked]
    if not others:
        return []
    return [f"Not ranked: {', '.join(others)}; a rank needs two seeds, with a number in each."]


def verdicts(comparison: Comparison) -> list[str]:
    """Returns what may be said of each untrained arm against all others, and of the planned
    pair.
    """
    own, sentences = comparison.rankings.get(comparison.primary.name), []
    for control in comparison.untrained:
        sentence = against(own, control) if own else None
        if sentence is not None:
            sentences.append(sentence)
    if comparison.planned is not None:
        sentences.append(comparison.planned.sentence)
    return sentences


def as_markdown(comparison: Comparison) -> str:
    """Returns the table, its protocols and what was held equal, as Markdown."""
    out = [*to_markdown(comparison.table), ""]
    out += [*ranking(comparison), *verdicts(comparison)]
    for margin in comparison.margin_tables:
        out += ["", f"Means per {margin.title}:", "", *to_markdown(margin), "", *margin.notes]
    out += ["", "Protocols (records of unequal protocol never share a column):", ""]
    for name, record in comparison.records.items():
        settings = ", ".join(f"{key}={value}" for key, value in flatten(record.protocol).items())
        out.append(f"- `{name}` {record.protocol_hash}: {settings}")
    whole, partly = comparison.fairness.groups()
    out += ["", f"Held equal in all arms: {', '.join(whole) or 'nothing as a whole'}."]
    different = comparison.fairness.different
    if different:
        out += ["", f"What differs (in {', '.join(partly)}):", ""]
        out += [f"- `{key}`: {by_value(values)}" for key, values in different.items()]
    return "\n".join(out) + "\n"


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
            "stopping": comparison.stopping,
            "planned": asdict(comparison.planned) if comparison.planned else None,
            "margins": list(map(asdict, comparison.margins)),
            "held_equal": comparison.fairness.equal,
            "differs": comparison.fairness.different,
        },
        indent=1,
        default=str,
    )
