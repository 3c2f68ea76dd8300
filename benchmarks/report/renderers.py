"""Tables as text: for a terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd
import rich.table
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from benchmarks.core.commands import full_names, shorten
from benchmarks.core.statistics import Interval
from benchmarks.report.statistics import Value
from benchmarks.report.table import Cell, Table

_LATEX = str.maketrans(
    {
        "±": r"$\pm$",
        "↓": r"$\downarrow$",
        "–": "--",
        "²": "$^2$",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
    }
)

_HEADING = 8  # characters of a column's heading on one line


def to_screen(table: Table, *, short: Mapping[str, str] | None = None) -> rich.table.Table:
    """The table for ``rich``; baselines dim and in parentheses, the best of a column bold.

    Args:
        table: any.
        short: name -> what to print for it, in headings and cells, where it is too long.
    """
    short = short or {}
    caption = "\n".join([table.caption] * bool(table.caption) + list(table.notes))
    screen = rich.table.Table(
        title=escape(table.title), caption=escape(caption) or None, title_justify="left"
    )
    for column in table.columns:
        heading = _shortened(column.heading, short)
        if column.group:  # several metrics fit 80 characters if each heading takes three lines
            heading = heading.replace(f"{column.group}.", f"{column.group}\n", 1)
            heading = heading.replace(" [", "\n[")
        justify = "left" if column.is_text else "right"
        screen.add_column(escape(heading), justify=justify, overflow="fold")
    for row, line in zip(table.rows, _named(table), strict=True):
        cells = []
        for cell, text in zip(row.cells, line, strict=True):
            cells.append(Text(_shortened(text, short), style="bold" if cell.best else ""))
        screen.add_row(*cells, style="dim" if row.kind in ("baseline", "stopped") else None)
    return screen


def _shortened(text: str, short: Mapping[str, str]) -> str:
    for name, brief in short.items():
        text = text.replace(name, brief)
    return text


def print_tables(
    tables: Sequence[Table],
    console: Console,
    *,
    names: Sequence[str] | None = None,
    width: int | None = None,
) -> None:
    """Prints tables with names that fit beside the numbers, and below them what was shortened in
    full.

    Args:
        tables: any.
        console: to print on.
        names: headings or words that may be too long; None: those of the rows.
        width: characters that each may take; None: a third of the console's.
    """
    if names is None:
        names = []
        for table in tables:
            names += [line[_name_column(table)] for line in table.lines()]
    short = shorten(names, width or max(20, console.width // 3))
    for table in tables:
        screen = to_screen(table, short=short)
        if _least_width(screen) > console.width:
            screen = min(screen, _turned(screen), key=_least_width)
        console.print(screen)
    for line in full_names(short):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _least_width(screen: rich.table.Table) -> int:
    """Characters that a table of a screen takes without breaking a number, and without making of a
    heading more than a few lines.
    """
    widths = []
    for column in screen.columns:
        cells = map(len, map(str, column.cells))
        widths.append(max([_HEADING, *cells]) + 3)  # the rule and a blank on either side
    return sum(widths) + 1


def _turned(screen: rich.table.Table) -> rich.table.Table:
    """The table with a line for each of its columns, for a terminal that is too narrow for all."""
    names, *columns = screen.columns
    turned = rich.table.Table(
        title=screen.title, caption=screen.caption, title_justify=screen.title_justify
    )
    turned.add_column(names.header, overflow="fold")
    for name, row in zip(names.cells, screen.rows, strict=True):
        style = str(row.style or "")
        turned.add_column(Text(str(name), style=style), justify="right", overflow="fold")
    for column in columns:
        turned.add_row(str(column.header).replace("\n", " "), *column.cells)
    return turned


def to_markdown(table: Table) -> list[str]:
    """Lines of the table alone, the best of a column bold; cells hold no ``|``."""
    rule = "---|" * len(table.columns)
    lines = [f"| {' | '.join(row)} |" for row in (table.headings, *_named(table, best="**{}**"))]
    return [lines[0], f"|{rule}", *lines[1:]]


def to_latex(table: Table) -> str:
    """A ``tabular`` with the rules of the package ``booktabs``, the best of a column bold."""
    sides = ""
    for column in table.columns:
        sides += "l" if column.is_text else "r"
    lines = [_latex_line(table.headings)]
    for row, line in zip(table.rows, _named(table), strict=True):
        lines.append(_latex_line(line, row.cells))
    opening = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", lines[0], r"\midrule"]
    return "\n".join([*opening, *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def _latex_line(line: Sequence[str], cells: Sequence[Cell] = ()) -> str:
    """Texts between ``&``, those of the best cells bold."""
    texts = []
    for text, cell in zip_longest(line, cells):
        escaped = text.translate(_LATEX)
        texts.append(rf"\textbf{{{escaped}}}" if cell and cell.best else escaped)
    return " & ".join(texts) + r" \\"


def to_frame(table: Table) -> pd.DataFrame:
    """The table as numbers, unrounded: a column per column of the table, for means and differences
    a second one ``NAME ±`` with the half-width of the 95 % interval.
    """
    numbers: dict[str, list[Any]] = {}
    for column, cells in table.by_column():
        values = [cell.value for cell in cells]
        numbers[column.name] = list(map(_mean, values))
        if column.better or Interval in map(type, values):
            numbers[f"{column.name} ±"] = list(map(_half, values))
    names = table.columns[_name_column(table)].name
    for number, row in enumerate(table.rows):
        if row.kind == "baseline":
            numbers[names][number] = f"baseline {numbers[names][number]}"
    return pd.DataFrame(numbers)


def _mean(value: Value) -> float | str | None:
    return value.mean if isinstance(value, Interval) else value


def _half(value: Value) -> float | None:
    return value.half if isinstance(value, Interval) else None


def plain_table(table: Table) -> dict[str, Any]:
    """Title, protocol, columns with unit and direction, and the numbers, as JSON has them."""
    columns = []
    for column in table.columns:
        columns.append(dict(name=column.name, unit=column.unit, better=column.better or None))
    return dict(
        title=table.title,
        caption=table.caption,
        notes=list(table.notes),
        columns=columns,
        rows=plain_rows(to_frame(table)),
    )


def plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON has them: NaN and what is missing become None."""
    return json.loads(frame.to_json(orient="records", double_precision=10))


def _name_column(table: Table) -> int:
    """Number of the column that says what a row is: the first one of words."""
    return [column.is_text for column in table.columns].index(True)


def _named(table: Table, *, best: str = "{}") -> list[list[str]]:
    """The cells as people read them, names of baselines in parentheses, best cells in a form."""
    lines, names = table.lines(), _name_column(table)
    for row, line in zip(table.rows, lines, strict=True):
        if row.kind == "baseline":
            line[names] = f"({line[names]})"
        for number, cell in enumerate(row.cells):
            if cell.best:
                line[number] = best.format(line[number])
    return lines
