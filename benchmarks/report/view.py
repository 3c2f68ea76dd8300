"""Tables and pairs as templates show them: texts, and beside each number its exact value and where
it comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.core.statistics import Interval
from benchmarks.report.statistics import Value
from benchmarks.report.statistics.ranking import PairEstimate, Ranking
from benchmarks.report.table import Table

Links = Mapping[tuple[str, str], str]  # (name of a row, name of a column) -> anchor


@dataclass(frozen=True)
class ShownCell:
    """One place of a table on a page.

    Attributes:
        text: as people read it.
        exact: the number in full, or the words; empty where there is none.
        half: half-width of an interval in full; empty where there is none.
        link: anchor of what the number was computed from; empty: none.
        best: whether it is the best of its column.
    """

    text: str
    exact: str
    half: str = ""
    link: str = ""
    best: bool = False


@dataclass(frozen=True)
class ShownRow:
    """A row on a page.

    Attributes:
        name: in the first column of words.
        kind: as in :class:`Row`.
        cells: one per column.
        arm: what hides with that arm; empty: nothing does.
    """

    name: str
    kind: str
    cells: tuple[ShownCell, ...]
    arm: str = ""


@dataclass(frozen=True)
class ShownTable:
    """A table on a page; baselines stand apart, as they do not compete.

    Attributes:
        name: unique on the page; the link to a view holds it.
    """

    table: Table
    name: str
    rows: tuple[ShownRow, ...]
    baselines: tuple[ShownRow, ...]


def show(
    table: Table,
    name: str,
    *,
    links: Links | None = None,
    arm_of: Callable[[str], str] = lambda row: "",
) -> ShownTable:
    """Turns a table into what templates show.

    Args:
        table: any with a column of words, whose first one names the rows.
        name: unique on the page, without ``|`` and ``,``.
        links: where numbers come from.
        arm_of: name of a row -> the arm that it is of.
    """
    links, rows, baselines = links or {}, [], []
    names = [column.is_text for column in table.columns].index(True)
    for row, texts in zip(table.rows, table.lines(), strict=True):
        label, cells = str(row.cells[names].value), []
        for column, cell, text in zip(table.columns, row.cells, texts, strict=True):
            exact, half = _exact(cell.value)
            link = links.get((label, column.name), "") if exact else ""
            cells.append(ShownCell(text, exact, half, link, cell.best))
        is_baseline = row.kind == "baseline"
        arm = "" if is_baseline else arm_of(label)
        (baselines if is_baseline else rows).append(ShownRow(label, row.kind, tuple(cells), arm))
    return ShownTable(table, name, tuple(rows), tuple(baselines))


def _exact(value: Value) -> tuple[str, str]:
    if value is None:
        return "", ""
    if isinstance(value, Interval):
        mean = repr(float(value.mean)) if value.defined else ""
        return mean, "" if value.half is None else repr(float(value.half))
    return str(value), ""


@dataclass(frozen=True)
class ShownPair:
    """One place of the matrix of pairs: the row's arm against the column's.

    Attributes:
        style: ``better``, ``worse`` or ``same`` (not apart), seen from the row.
        difference: row − column, with the half-width of its simultaneous interval.
        exact: the difference in full.
        p: adjusted for all pairs, with its sign of direction; empty where nothing tells it.
        improvement: share of seed pairs in which the row's arm is better.
    """

    style: str
    difference: str
    exact: str
    p: str
    improvement: str


def pair_matrix(ranking: Ranking) -> dict[str, dict[str, ShownPair]]:
    """Arm -> other arm -> what is known of the two, both in the order of their means."""
    cells: dict[tuple[str, str], ShownPair] = {}
    for pair in ranking.pairs:
        cells[pair.first, pair.second] = _seen_from(pair, sign=1)
        cells[pair.second, pair.first] = _seen_from(pair, sign=-1)
    names, matrix = [arm.arm for arm in ranking.arms], {}
    for name in names:
        matrix[name] = {other: cells[name, other] for other in names if other != name}
    return matrix


def _seen_from(pair: PairEstimate, *, sign: int) -> ShownPair:
    row = pair.first if sign > 0 else pair.second
    style = "same" if pair.above is None else "better" if pair.above == row else "worse"
    difference = sign * pair.difference
    half = "" if pair.half is None else f" ± {pair.half:.2f}"
    share = pair.improvement if sign > 0 else 1 - pair.improvement
    return ShownPair(
        style=style,
        difference=f"{difference:+.2f}{half}".replace("-", "−"),
        exact=repr(float(difference)),
        p="" if pair.p is None else "p < .001" if pair.p < 0.001 else f"p = {pair.p:.3f}",
        improvement=f"{100 * share:.0f} % of {pair.comparisons}",
    )
