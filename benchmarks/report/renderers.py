"""Tables as text: for a terminal, Markdown, HTML, LaTeX, CSV and JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import rich.table
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from benchmarks.core.commands import full_names, shorten
from benchmarks.core.statistics import Interval
from benchmarks.report.table import Column, Table

_LATEX = {"±": r"$\pm$", "↓": r"$\downarrow$", "–": "--", "²": "$^2$", "\\": r"\textbackslash{}"}
_LATEX |= {character: "\\" + character for character in "&%$#_{}"}
_LATEX |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def to_screen(table: Table, *, short: Mapping[str, str] | None = None) -> rich.table.Table:
    """The table for ``rich``; baselines dim and in parentheses, the best of a column bold.

    Args:
        table: any.
        short: name of a row -> what to print for it, where that is too long.
    """
    short = short or {}
    caption = "\n".join([table.caption] * bool(table.caption) + list(table.notes))
    screen = rich.table.Table(
        title=escape(table.title), caption=escape(caption) or None, title_justify="left"
    )
    for column in table.columns:
        heading = short.get(column.name, column.heading)
        if column.group:  # several metrics fit 80 characters if each heading takes three lines
            heading = heading.replace(f"{column.group}.", f"{column.group}\n", 1)
            heading = heading.replace(" [", "\n[")
        justify = "left" if column.words else "right"
        screen.add_column(escape(heading), justify=justify, overflow="fold")
    for row, line in zip(table.rows, _named(table), strict=True):
        cells = []
        for cell, words in zip(row.cells, line, strict=True):
            style = "bold" if cell.best else ""
            cells.append(Text(short.get(words, words), style=style))
        screen.add_row(*cells, style="dim" if row.kind == "baseline" else None)
    return screen


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
        names = [str(row.cells[_name_column(t)].value) for t in tables for row in t.rows]
    short = shorten(names, width or max(20, console.width // 3))
    for table in tables:
        console.print(to_screen(table, short=short))
    for line in full_names(short):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def to_markdown(table: Table) -> list[str]:
    """Lines of the table alone, the best of a column bold; cells hold no ``|``."""
    headings = [column.heading for column in table.columns]
    rows = [_stressed(table, number, "**{}**") for number in range(len(table.rows))]
    lines = [f"| {' | '.join(row)} |" for row in (headings, *rows)]
    return [lines[0], f"|{'---|' * len(headings)}", *lines[1:]]


def to_html(table: Table) -> str:
    """The table alone, made to scroll sideways where the window is narrow."""
    head = "".join(_html_cell("th", c.heading, _side(c)) for c in table.columns)
    out = [f'<div class="wide"><table><tr>{head}</tr>']
    for row, line in zip(table.rows, _named(table), strict=True):
        cells = []
        for column, cell, words in zip(table.columns, row.cells, line, strict=True):
            cells.append(_html_cell("td", words, "best" if cell.best else _side(column)))
        out.append(f"<tr{_class(row.kind)}>{''.join(cells)}</tr>")
    return "".join(out) + "</table></div>"


def to_latex(table: Table) -> str:
    """A ``tabular`` with the rules of the package ``booktabs``, the best of a column bold."""
    sides = "".join("l" if column.words else "r" for column in table.columns)
    headings = [_latex(column.heading) for column in table.columns]
    out = [
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        " & ".join(headings) + r" \\",
        r"\midrule",
    ]
    for number, row in enumerate(table.rows):
        line = []
        for cell, words in zip(row.cells, _named(table)[number], strict=True):
            line.append(rf"\textbf{{{_latex(words)}}}" if cell.best else _latex(words))
        out.append(" & ".join(line) + r" \\")
    return "\n".join([*out, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_frame(table: Table) -> pd.DataFrame:
    """The table as numbers, unrounded: a column per column of the table, for means and differences
    a second one ``NAME ±`` with the half-width of the 95 % interval.
    """
    lines, names = [], _name_column(table)
    with_half = [i for i, column in enumerate(table.columns) if _has_half(table, i, column)]
    for row in table.rows:
        line: dict[str, Any] = {}
        for number, (column, cell) in enumerate(zip(table.columns, row.cells, strict=True)):
            interval = cell.value if isinstance(cell.value, Interval) else None
            line[column.name] = cell.value if interval is None else interval.mean
            if number in with_half:
                line[f"{column.name} ±"] = None if interval is None else interval.half
            if number == names and row.kind == "baseline":
                line[column.name] = f"baseline {cell.value}"
        lines.append(line)
    return pd.DataFrame(lines)


def _has_half(table: Table, number: int, column: Column) -> bool:
    """Whether a column is a metric's, or holds any interval."""
    values = [row.cells[number].value for row in table.rows]
    return bool(column.better) or any(isinstance(value, Interval) for value in values)


def plain_table(table: Table) -> dict[str, Any]:
    """Title, protocol, columns with unit and direction, and the rows of :func:`to_frame`, as JSON has
    them.
    """
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


def _name_column(table: Table) -> int | None:
    """Number of the column that says what a row is: the first one of words."""
    return next((i for i, column in enumerate(table.columns) if column.words), None)


def _named(table: Table) -> list[list[str]]:
    """The cells as people read them, names of baselines in parentheses."""
    lines, names = table.lines(), _name_column(table)
    for row, line in zip(table.rows, lines, strict=True):
        if row.kind == "baseline" and names is not None:
            line[names] = f"({line[names]})"
    return lines


def _stressed(table: Table, number: int, form: str) -> list[str]:
    """One row as people read it, its best cells in ``form``."""
    cells = zip(table.rows[number].cells, _named(table)[number], strict=True)
    return [form.format(words) if cell.best else words for cell, words in cells]


def _side(column: Column) -> str:
    return "text" if column.words else ""


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def _html_cell(tag: str, words: str, style: str) -> str:
    return f"<{tag}{_class(style)}>{html.escape(words)}</{tag}>"


def _latex(words: str) -> str:
    return "".join(_LATEX.get(character, character) for character in words)
