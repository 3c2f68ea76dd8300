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
    html_sentences,
    markdown_figures,
    markdown_files,
    markdown_head,
)
from benchmarks.report.renderers import to_html
from benchmarks.report.table import Column, Row, Table
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
    out += [*(f"- {note}" for note in report.notes), *[""] * bool(report.notes)]
    out.append(as_markdown(report.comparison))
    return "\n".join([*out, *markdown_figures(report.pictures), *markdown_files(report.links)])


def _html(report: Report) -> str:
    comparison = report.comparison
    body = [*html_sentences(report.notes, "note"), to_html(comparison.table)]
    body += html_sentences(ranking(comparison), "note")
    body += html_sentences(verdicts(comparison))
    for margin in comparison.margin_tables:
        body += [f"<h2>Means per {html.escape(margin.title)}</h2>", to_html(margin)]
        body += html_sentences(margin.notes, "note")
    body += [*html_figures(report.pictures), *_html_fairness(comparison.fairness)]
    body.append("<h2>Protocols</h2><ul>")
    for name, record in comparison.records.items():
        settings = ", ".join(f"{key}={value}" for key, value in record.protocol.items())
        body.append(
            f"<li><b>{html.escape(name)}</b> <code>{record.protocol_hash}</code><br><span "
            f"class='note'>{html.escape(settings)}</span></li>"
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
    rows = [Row.of(key, *map(str, values.values())) for key, values in different.items()]
    arms = next(iter(different.values()))
    return Table("", (Column("key", is_text=True), *map(Column, arms)), tuple(rows))
