"""One table builder: runs become rows, their metrics columns, statistics fill the cells.

Numbers of unequal protocols never share a column, and each metric says itself which way it is
better. :mod:`benchmarks.report.renderers` turns a table into text.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from benchmarks.core.record import Metric, Record
from benchmarks.core.statistics import Interval
from benchmarks.report.runs import Run, Sample, sample_of
from benchmarks.report.statistics import INTERVAL, Statistic, Value

NONE = "–"
_DIGITS = {"m": 3}  # after the point, by unit


class TableError(ValueError):
    """Two runs that must not share a column.

    Attributes:
        runs: these two.
    """

    def __init__(self, message: str, *runs: Run) -> None:
        super().__init__(message)
        self.runs = runs


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        name: unique in a table; what CSV and JSON call it.
        label: what people read instead of the name, as it is; empty: name, unit, direction.
        group: what the name begins with, before a dot: a benchmark.
        unit: ``1`` or empty for none.
        better: ``higher`` or ``lower`` for a metric; empty for all else.
        digits: after the point.
        is_text: aligned left; else numbers, aligned right.
    """

    name: str
    label: str = ""
    group: str = ""
    unit: str = ""
    better: str = ""
    digits: int = 2
    is_text: bool = False

    @property
    def heading(self) -> str:
        """The label, or ``name [unit]`` with an arrow where lower is better."""
        if self.label:
            return self.label
        unit = f" [{self.unit}]" if self.unit not in ("", "1") else ""
        return self.name + unit + (" ↓" if self.better == "lower" else "")

    def text(self, value: Value) -> str:
        """A value as people read it: ``mean ± half``, number, words, ``not defined`` or a dash."""
        if value is None:
            return NONE
        if isinstance(value, Interval):
            return value.text(self.digits)
        if isinstance(value, str):
            return value
        return f"{value:,.{self.digits}f}" if math.isfinite(value) else "not defined"


@dataclass(frozen=True)
class Cell:
    """One place of a table: its value, and whether it is the best of its column."""

    value: Value = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """Cells, one per column, and what kind of row they are: ``baseline``, ``first``, ``stopped``
    (its trainings ended before their budget was spent) or nothing special.
    """

    cells: tuple[Cell, ...]
    kind: str = ""

    @classmethod
    def of(cls, *values: Value) -> Row:
        """A row of plain values."""
        return cls(tuple(map(Cell, values)))


@dataclass(frozen=True)
class Table:
    """A finished table.

    Attributes:
        caption: the protocol, where all columns have one.
        notes: sentences below: what statistics are, and those of the whole table.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str = ""
    notes: tuple[str, ...] = ()

    @property
    def headings(self) -> list[str]:
        """What stands above the columns."""
        return [column.heading for column in self.columns]

    def by_column(self) -> list[tuple[Column, tuple[Cell, ...]]]:
        """Each column with its cells, from the first row to the last."""
        cells = [row.cells for row in self.rows]
        turned = zip(*cells, strict=True) if cells else [()] * len(self.columns)
        return list(zip(self.columns, turned, strict=True))

    def lines(self) -> list[list[str]]:
        """The cells as people read them, a list per row."""
        lines = []
        for row in self.rows:
            pairs = zip(self.columns, row.cells, strict=True)
            lines.append([column.text(cell.value) for column, cell in pairs])
        return lines

    def select(self, names: Sequence[str]) -> Table:
        """The columns of these two or more names, in this order."""
        all_names = [column.name for column in self.columns]
        chosen = operator.itemgetter(*map(all_names.index, names))
        rows = [replace(row, cells=chosen(row.cells)) for row in self.rows]
        return replace(self, columns=chosen(self.columns), rows=tuple(rows))

    def transposed(self, label: str) -> Table:
        """As text: a column per row, named by the first words in it, and a row per column of
        numbers; for a screen, where few networks have many metrics.

        Args:
            label: heading of the column that names the numbers.
        """
        columns, rows = [Column(label, is_text=True)], []
        for column, cells in self.by_column():
            if not column.is_text:
                texts = [Cell(column.text(cell.value), cell.best) for cell in cells]
                rows.append(Row((Cell(column.heading), *texts)))
            elif len(columns) == 1:
                columns += [Column(str(cell.value)) for cell in cells]
        return replace(self, columns=tuple(columns), rows=tuple(rows))


@dataclass(frozen=True)
class Entry:
    """What becomes one row.

    Attributes:
        name: what statistics call the row.
        runs: those whose metrics it shows.
        cells: column before or after the metrics -> what stands there.
        kind: as in :class:`Row`. Baselines never compete for the best, nor do stopped arms,
            which are part of no further statistic either.
    """

    name: str
    runs: Sequence[Run]
    cells: Mapping[str, Value] = field(default_factory=dict)
    kind: str = ""


def build(
    entries: Sequence[Entry],
    *,
    title: str = "",
    caption: str = "",
    before: Sequence[Column] = (),
    after: Sequence[Column] = (),
    metrics: Sequence[str] = (),
    digits: Mapping[str, int] | None = None,
    statistics: Sequence[Statistic] = (),
    references: Sequence[str] = (),
    intervals: Mapping[str, Mapping[str, Interval]] | None = None,
    mark_best: bool = False,
) -> Table:
    """Builds a table whose metrics' own columns hold the mean over runs with its 95 % interval.

    Args:
        entries: one per row, in order.
        title: above the table.
        caption: below it.
        before: columns left of the metrics; entries say what stands in them.
        after: columns right of the metrics, likewise.
        metrics: columns of metrics in this order; empty: all, in order of appearance.
        digits: metric's column -> digits after the point, where they are not those of its unit: 3
            for metres, else 2.
        statistics: further ones, in this order beside each metric.
        references: names of the entries that statistics of pairs compare with.
        intervals: metric's column -> entry -> what stands there instead of the interval over runs,
            for entries that are no baseline.
        mark_best: mark the best mean of each metric among the entries that are no baseline.

    Raises:
        TableError: runs of one benchmark have unequal protocols, or one metric has two directions.
    """
    runs = list(chain.from_iterable(entry.runs for entry in entries))
    require_one_protocol(runs)
    known = metrics_of(runs)
    columns: list[Column] = []
    cells: list[list[Cell]] = []  # per column, one per entry
    notes: list[str] = []

    def add(column: Column, values: Sequence[Value], best: Sequence[int] = ()) -> None:
        columns.append(column)
        cells.append([Cell(value, row in best) for row, value in enumerate(values)])

    def add_stated(column: Column) -> None:
        add(column, [entry.cells.get(column.name) for entry in entries])

    for column in before:
        add_stated(column)
    for name in metrics or known:
        own = known.get(name, Column(name, better="higher"))
        own = replace(own, digits=(digits or {}).get(name, _DIGITS.get(own.unit, 2)))
        samples = [sample_of(entry.name, entry.runs, name) for entry in entries]
        compared = []
        for entry, sample in zip(entries, samples, strict=True):
            compared.append(replace(sample, runs=()) if entry.kind == "stopped" else sample)
        for column, values in _metric_columns(own, samples, compared, statistics, references):
            if column is own:
                values = _replaced(entries, values, (intervals or {}).get(name, {}))
                add(own, values, _best(entries, values, own.better) if mark_best else ())
            else:
                add(column, values)
        notes += _sentences(own, compared, statistics)
    for column in after:
        add_stated(column)
    rows = zip(entries, zip(*cells, strict=True), strict=True)
    notes += [statistic.explanation for statistic in statistics if statistic.explanation]
    return Table(
        title=title,
        columns=tuple(columns),
        rows=tuple(Row(line, entry.kind) for entry, line in rows),
        caption=caption,
        notes=tuple(notes),
    )


def _metric_columns(
    own: Column,
    samples: Sequence[Sample],
    compared: Sequence[Sample],
    statistics: Sequence[Statistic],
    references: Sequence[str],
) -> Iterator[tuple[Column, list[Value]]]:
    """Yields a metric's own column, then those of further statistics, with their values.

    Args:
        own: the metric's.
        samples: one per row.
        compared: the same, without runs where further statistics take no account of the row.
        statistics: further ones.
        references: rows that statistics of pairs compare with.
    """
    for statistic in dict.fromkeys((INTERVAL, *statistics)):
        shown = samples if statistic is INTERVAL else compared
        for heading, values in statistic.columns(shown, references).items():
            if heading:
                label = dict(label=heading, group=own.group, digits=own.digits)
                yield Column(f"{own.name} {heading}", **label), values
            else:
                yield own, values


def _sentences(
    own: Column, samples: Sequence[Sample], statistics: Sequence[Statistic]
) -> list[str]:
    """What statistics of the whole table say of a metric."""
    sentences = []
    for statistic in statistics:
        value = statistic.value_of_table(samples)
        if value is not None:
            sentences.append(f"{statistic.heading}, {own.heading}: {own.text(value)}.")
    return sentences


def protocol_title(record: Record) -> dict[str, str]:
    """Title and caption of a table whose runs are all of one benchmark and protocol."""
    title = f"{record.benchmark} · protocol {record.protocol_hash}"
    return dict(title=title, caption=record.protocol_line)


def require_one_protocol(runs: Sequence[Run]) -> dict[str, Record]:
    """Returns a record per benchmark, after checking that all runs of it share its protocol.

    Raises:
        TableError: two runs of one benchmark have unequal protocol hashes.
    """
    first: dict[str, Run] = {}
    for run in runs:
        other = first.setdefault(run.benchmark, run)
        if other.record.protocol_hash != run.record.protocol_hash:
            raise TableError(
                f"benchmark {run.benchmark or run.record.benchmark!r}: records of unequal protocol "
                f"cannot share a column: {other.name} has {other.record.protocol_hash}, {run.name} "
                f"has {run.record.protocol_hash}",
                other,
                run,
            )
    return {benchmark: run.record for benchmark, run in first.items()}


def metrics_of(runs: Sequence[Run]) -> dict[str, Column]:
    """Returns the column of each metric in order of appearance.

    Raises:
        TableError: one metric has two directions.
    """
    first: dict[str, tuple[Run, Metric]] = {}
    for run in runs:
        for name, metric in run.record.metrics.items():
            column = run.column(name)
            other, known = first.setdefault(column, (run, metric))
            if known.better != metric.better:
                raise TableError(
                    f"metric {column!r}: {known.better} is better in the record of {other.name}, "
                    f"{metric.better} in that of {run.name}",
                    other,
                    run,
                )
    columns = {}
    for column, (run, metric) in first.items():
        columns[column] = Column(
            column, group=run.benchmark, unit=metric.unit, better=metric.better
        )
    return columns


def _replaced(
    entries: Sequence[Entry], values: Sequence[Value], intervals: Mapping[str, Interval]
) -> list[Value]:
    """The values, with an interval of the entry's own in place of those that have one."""
    replaced = []
    for entry, value in zip(entries, values, strict=True):
        own = None if entry.kind == "baseline" else intervals.get(entry.name)
        replaced.append(own or value)
    return replaced


def _best(entries: Sequence[Entry], means: Sequence[Value], better: str) -> list[int]:
    """Rows with the best mean among several entries that compete; all of equal ones."""
    competing = {}
    for row, (entry, value) in enumerate(zip(entries, means, strict=True)):
        if entry.kind not in ("baseline", "stopped") and isinstance(value, Interval):
            competing[row] = value.mean
    values = list(filter(math.isfinite, competing.values()))
    if len(competing) < 2 or not values:
        return []
    extreme = min(values) if better == "lower" else max(values)
    return [row for row, mean in competing.items() if mean == extreme]
