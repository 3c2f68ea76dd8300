"""What the analyses' figures have in common: a sheet per column, a line per arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.core.record import Record, is_baseline
from benchmarks.report.figures import Sources
from benchmarks.report.pictures.curves import Panel, Panels
from benchmarks.report.pictures.figure import looks

Records = Mapping[str, Sequence[Record]]


def sheets(
    sources: Sources,
    benchmark: str,
    panels: Callable[[Records], Sequence[Panel]],
    *,
    from_zero: bool = False,
) -> dict[str, Panels]:
    """A sheet for each name under which a comparison has the benchmark, its title where there are
    several; records of unequal protocol never share one.

    Args:
        sources: of the page.
        benchmark: whose records of networks are drawn.
        panels: called with arm -> its records, one per seed.
        from_zero: the vertical axes show 0.
    """
    groups: dict[tuple[str, str], dict[str, list[Record]]] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == benchmark and not is_baseline(run.record):
                key = run.benchmark or benchmark, run.record.protocol_hash
                groups.setdefault(key, {}).setdefault(arm, []).append(run.record)
    styles = looks(sources.arms or sources.runs)
    protocols = Counter(name for name, _ in groups)
    drawn = {}
    for (name, protocol), records in groups.items():
        title = name if len(protocols) > 1 else ""
        if protocols[name] > 1:
            title = f"{name}, protocol {protocol}"
        drawn[title] = Panels(panels(records), styles, from_zero)
    return drawn


def profile(
    records: Records, table: str, *, value: str, label: str, scale: str = "linear"
) -> Panel:
    """A panel of a number per stage or module.

    Args:
        records: arm -> its records.
        table: ``per_stage`` or ``per_module``: counts with a dict per row, named by ``stage`` or
            ``module``.
        value: which number of the rows.
        label: above the panel.
        scale: see :class:`Panel`.
    """
    place = table.removeprefix("per_")
    longest: list[str] = []
    curves = {}
    for arm, own in records.items():
        curves[arm] = []
        for record in own:
            rows = record.counts[table]
            names = [row[place] for row in rows]
            longest = max(longest, names, key=len)
            curves[arm].append((np.arange(len(rows)), _column(rows, value)))
    return Panel(label, curves, x=place, places=longest, scale=scale)


def _column(rows: Sequence[Mapping[str, Any]], value: str) -> np.ndarray:
    """A number of every row, NaN where it is not defined."""
    return np.array([row[value] for row in rows], np.float64)
