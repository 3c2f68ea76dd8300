"""One page per comparison: ``index.html``, one file that holds everything and needs no network, and
``report.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.compare.origins import Origin, links_of, table_of_trials
from benchmarks.compare.table import Comparison, as_markdown, ranking, verdicts
from benchmarks.core.record import Record
from benchmarks.report.figures import Picture
from benchmarks.report.inline import picture_groups
from benchmarks.report.markdown import markdown_figures, markdown_files, markdown_head
from benchmarks.report.pictures.figure import looks
from benchmarks.report.templating import render
from benchmarks.report.view import ShownTable, pair_matrix, show
from pretrain.files import atomic_write


@dataclass
class Report:
    """What the page shows.

    Attributes:
        command: how to run it again.
        notes: sentences above the table: what was run.
        pictures: below the page's folder.
        links: (file or folder below the page's folder, words).
        alerts: what one must know before reading any number, such as what is missing.
        arms: in the order of the plan, which gives each its colour; empty: that of the table.
        origins: all records.
        costs: a dict per trial: ``arm``, ``seed`` and what it cost.
        commands: (trial, command that trained it).
        configs: arm -> text of its resolved config with the first seed.
    """

    comparison: Comparison
    command: str
    notes: list[str] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    arms: Sequence[str] = ()
    origins: Sequence[Origin] = ()
    costs: Sequence[Mapping[str, Any]] = ()
    commands: Sequence[tuple[str, str]] = ()
    configs: Mapping[str, str] = field(default_factory=dict)


def write_report(report: Report, folder: Path) -> Path:
    """Writes ``report.md`` and ``index.html`` below ``folder``; returns the latter's path."""
    atomic_write(folder / "report.md", _markdown(report))
    atomic_write(folder / "index.html", _html(report, folder))
    return folder / "index.html"


def _markdown(report: Report) -> str:
    out = markdown_head(report.comparison.table.title, report.command)
    notes = [*report.alerts, *report.notes]
    out += [*(f"- {note}" for note in notes), *[""] * bool(notes)]
    out.append(as_markdown(report.comparison))
    return "\n".join([*out, *markdown_figures(report.pictures), *markdown_files(report.links)])


def _html(report: Report, folder: Path) -> str:
    comparison = report.comparison
    arms = list(report.arms or comparison.means)
    own = [origin for origin in report.origins if origin.group in arms]
    return render(
        "comparison.html",
        title=comparison.table.title,
        command=report.command,
        report=report,
        comparison=comparison,
        looks=looks(arms),
        results=_results(report, arms),
        sentences=ranking(comparison),
        verdicts=verdicts(comparison),
        margins=[show(table, f"margin {table.title}") for table in comparison.margin_tables],
        matrices={name: pair_matrix(one) for name, one in comparison.rankings.items()},
        sections=picture_groups(report.pictures, folder),
        trials=_trials(report, own),
        groups=_groups(report.origins),
        versions=versions_of([origin.run.record for origin in report.origins]),
        equal_sections=comparison.fairness.groups()[0],
    )


def _results(report: Report, arms: Sequence[str]) -> ShownTable:
    table = report.comparison.table
    links = links_of(report.origins, table.columns)
    return show(table, "results", links=links, arm_of=lambda row: row if row in arms else "")


def _trials(report: Report, origins: Sequence[Origin]) -> ShownTable | None:
    if not origins:
        return None
    table, links = table_of_trials(origins, report.comparison.metrics, report.costs)
    return show(table, "seeds", links=links, arm_of=lambda trial: trial.rpartition("/")[0])


def _groups(origins: Sequence[Origin]) -> dict[str, list[Origin]]:
    """Arm or baseline -> its records, which stand together."""
    return {name: list(own) for name, own in groupby(origins, lambda origin: origin.group)}


def versions_of(records: Sequence[Record]) -> dict[str, dict[str, int]]:
    """Library or device -> version -> how many records have it."""
    versions: dict[str, dict[str, int]] = {}
    for record in records:
        for name, version in record.versions.items():
            counts = versions.setdefault(name, {})
            counts[str(version)] = counts.get(str(version), 0) + 1
    return versions
