"""One page per comparison, ``report.md`` and ``index.html``: table, pictures, links to everything behind them."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.compare.table import Comparison, text_cells, to_markdown, verdicts
from pretrain.files import atomic_write

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d1d1f; max-width: 74rem; margin: 2rem auto; padding: 0 1.2rem }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums } .wide { overflow-x: auto }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap }
th:nth-child(2), td:nth-child(2) { text-align: left } tr.first td { font-weight: 600 } tr.baseline td { color: #777 }
img { max-width: 100%; border: 1px solid #e5e5e5; border-radius: 4px } figcaption, .note { color: #555; font-size:
.9rem } figure { margin: 1rem 0 } code { background: #f4f4f6; padding: 0 .25rem; border-radius: 3px } li { margin:
.15rem 0 }
"""


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
    out = [f"# {report.table.title}", "", f"`{report.command}`", ""]
    out += [f"- {note}" for note in report.notes] + ([""] if report.notes else [])
    out.append(to_markdown(report.table))
    for file, caption in report.pictures:
        out += [f"![{caption}]({file})", "", f"*{caption}*", ""]
    out += ["Files:", "", *(f"- [{words}]({file})" for file, words in report.links), ""]
    return "\n".join(out)


def _html(report: Report) -> str:
    table, esc = report.table, html.escape
    title = esc(table.title)
    out = [
        "<!doctype html>",
        f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head><body>',
        f'<h1>{title}</h1><p class="note"><code>{esc(report.command)}</code></p>',
        *(f'<p class="note">{esc(note)}</p>' for note in report.notes),
        f'<div class="wide">{_html_table(table)}</div>',
        f'<p class="note">Ranked by {esc(table.primary)}; mean ± half-width of the 95 % t-interval over seeds.</p>',
        *(f"<p>{esc(sentence)}</p>" for sentence in verdicts(table)),
    ]
    for file, caption in report.pictures:
        out.append(
            f'<figure><a href="{esc(file)}"><img src="{esc(file)}" alt="{esc(caption)}"></a>'
            f"<figcaption>{esc(caption)}</figcaption></figure>"
        )
    out += [*_html_fairness(table), "<h2>Protocols</h2><ul>"]
    for name, digest in table.hashes.items():
        words = ", ".join(f"{key}={value}" for key, value in table.protocols[name].items())
        out.append(f"<li><b>{esc(name)}</b> <code>{digest}</code><br><span class='note'>{esc(words)}</span></li>")
    out.append("</ul><h2>Files</h2><ul>")
    out += [f'<li><a href="{esc(file)}">{esc(words)}</a></li>' for file, words in report.links]
    return "\n".join([*out, "</ul></body></html>"]) + "\n"


def _html_table(table: Comparison) -> str:
    headings, lines = text_cells(table)
    out = ["<table><tr>" + "".join(f"<th>{html.escape(h)}</th>" for h in headings) + "</tr>"]
    for index, line in enumerate(lines):
        kind = "baseline" if line[1].startswith("(") else "first" if index == 0 else ""
        out.append(f'<tr class="{kind}">' + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>")
    return "".join(out) + "</table>"


def _html_fairness(table: Comparison) -> list[str]:
    whole, _ = table.fairness.groups()
    out = ["<h2>What was held equal, what differs</h2>"]
    out.append(f"<p>Equal in all arms: {html.escape(', '.join(whole) or 'nothing as a whole')}.</p>")
    if table.fairness.different:
        arms = list(dict.fromkeys(arm for values in table.fairness.different.values() for arm in values))
        head = "".join(f"<th>{html.escape(arm)}</th>" for arm in arms)
        out.append(f'<div class="wide"><table><tr><th>key</th>{head}</tr>')
        for key, values in table.fairness.different.items():
            cells = "".join(f"<td>{html.escape(str(values[arm]))}</td>" for arm in arms)
            out.append(f"<tr><td>{html.escape(key)}</td>{cells}</tr>")
        out.append("</table></div>")
    out.append(f"<details><summary>all {len(table.fairness.equal)} equal keys</summary><ul>")
    out += [f"<li><code>{html.escape(f'{key} = {value!r}')}</code></li>" for key, value in table.fairness.equal.items()]
    return [*out, "</ul></details>"]
