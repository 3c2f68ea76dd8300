"""One page per comparison, ``report.md`` and ``index.html``: table, pictures, links to everything
behind them.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare.table import NONE, Comparison, ranking, text_cells, to_markdown, verdicts
from benchmarks.report.html import (
    html_figures,
    html_files,
    html_page,
    html_table,
    markdown_figures,
    markdown_files,
    markdown_head,
)
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

    table: Comparison
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
    out = markdown_head(report.table.title, report.command)
    out += [f"- {note}" for note in report.notes] + ([""] if report.notes else [])
    out.append(to_markdown(report.table))
    return "\n".join([*out, *markdown_figures(report.pictures), *markdown_files(report.links)])


def _html(report: Report) -> str:
    table, esc = report.table, html.escape
    body = [
        *(f'<p class="note">{esc(note)}</p>' for note in report.notes),
        _html_table(table),
        *(f'<p class="note">{esc(sentence)}</p>' for sentence in ranking(table)),
        *(f"<p>{esc(sentence)}</p>" for sentence in verdicts(table)),
        *html_figures(report.pictures),
        *_html_fairness(table),
        "<h2>Protocols</h2><ul>",
    ]
    for name, digest in table.hashes.items():
        words = ", ".join(f"{key}={value}" for key, value in table.protocols[name].items())
        body.append(
            f"<li><b>{esc(name)}</b> <code>{digest}</code><br><span "
            f"class='note'>{esc(words)}</span></li>"
        )
    return html_page(table.title, report.command, [*body, "</ul>", *html_files(report.links)])


def _html_table(table: Comparison) -> str:
    headings, lines = text_cells(table)
    kinds = ["baseline" if line[1].startswith("(") else "" for line in lines]
    if lines and lines[0][0] != NONE:
        kinds[0] = "first"
    return html_table(headings, lines, text=(1,), kinds=kinds)


def _html_fairness(table: Comparison) -> list[str]:
    whole, _ = table.fairness.groups()
    out = ["<h2>What was held equal, what differs</h2>"]
    out.append(
        f"<p>Equal in all arms: {html.escape(', '.join(whole) or 'nothing as a whole')}.</p>"
    )
    if table.fairness.different:
        arms = list(
            dict.fromkeys(arm for values in table.fairness.different.values() for arm in values)
        )
        lines = [
            [key, *(str(v[arm]) for arm in arms)] for key, v in table.fairness.different.items()
        ]
        out.append(html_table(["key", *arms], lines))
    out.append(f"<details><summary>all {len(table.fairness.equal)} equal keys</summary><ul>")
    out += [
        f"<li><code>{html.escape(f'{key} = {value!r}')}</code></li>"
        for key, value in table.fairness.equal.items()
    ]
    return [*out, "</ul></details>"]
