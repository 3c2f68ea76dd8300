"""One page per comparison, ``report.md`` and ``index.html``: table, pictures, links to everything
behind them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.compare.fairness import Fairness
from benchmarks.compare.table import Comparison, as_markdown, ranking, verdicts
from benchmarks.report.html import (
    html_figures,
    html_files,
    html_page,
    markdown_figures,
    markdown_files,
    markdown_head,
)
from benchmarks.report.renderers import to_html
from benchmarks.report.table import Cell, Column, Row, Table
from pretrain.files import atomic_write


@dataclass
class Report:
    """What the page shows.

    Attributes:
        pictures: (file below the page's folder, caption).
        links: (file or folder below the page's folder, words).
        notes: sentences above the table: what was run, what failed.
        command: how to run it again.
    """

    comparison: Comparison
    command: str
    notes: list[str] = field(default_factory=list)
    pictures: list[tuple[str, str]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


def write_report(report: Report, folder: Path) -> Path:
    """Writes ``report.md`` and ``index.html`` below ``folder``; returns the latter's path."""
    atomic_write(folder / "report.md", _markdown(report))
    atomic_write(folder / "index.html", _html(report))
    return folder / "index.html"


def _markdown(report: Report) -> str:
    out = markdown_head(report.comparison.table.title, report.command)
    out += [f"- {note}" for note in report.notes] + ([""] if report.notes else [])
    out.append(as_markdown(report.comparison))
    return "\n".join([*out, *markdown_figures(report.pictures), *markdown_files(report.links)])


def _html(report: Report) -> str:
    comparison, esc = report.comparison, html.escape
    body = [f'<p class="note">{esc(note)}</p>' for note in report.notes]
    body.append(to_html(comparison.table))
    body += [f'<p class="note">{esc(sentence)}</p>' for sentence in ranking(comparison)]
    body += [f"<p>{esc(sentence)}</p>" for sentence in verdicts(comparison)]
    body += [*html_figures(report.pictures), *_html_fairness(comparison.fairness)]
    body.append("<h2>Protocols</h2><ul>")
    for name, record in comparison.records.items():
        settings = ", ".join(f"{key}={value}" for key, value in record.protocol.items())
        body.append(
            f"<li><b>{esc(name)}</b> <code>{record.protocol_hash}</code><br><span "
            f"class='note'>{esc(settings)}</span></li>"
        )
    body += ["</ul>", *html_files(report.links)]
    return html_page(comparison.table.title, report.command, body)


def _html_fairness(fairness: Fairness) -> list[str]:
    whole, _ = fairness.groups()
    out = ["<h2>What was held equal, what differs</h2>"]
    out.append(
        f"<p>Equal in all arms: {html.escape(', '.join(whole) or 'nothing as a whole')}.</p>"
    )
    if fairness.different:
        out.append(to_html(_differences(fairness.different)))
    out.append(f"<details><summary>all {len(fairness.equal)} equal keys</summary><ul>")
    for key, value in fairness.equal.items():
        out.append(f"<li><code>{html.escape(f'{key} = {value!r}')}</code></li>")
    return [*out, "</ul></details>"]


def _differences(different: dict[str, dict[str, Any]]) -> Table:
    """A row per key, a column per arm."""
    arms = dict.fromkeys(arm for values in different.values() for arm in values)
    rows = []
    for key, values in different.items():
        cells = [Cell(key), *(Cell(str(values[arm])) for arm in arms)]
        rows.append(Row(tuple(cells)))
    columns = (Column("key", words=True), *(Column(arm) for arm in arms))
    return Table("", columns, tuple(rows))
