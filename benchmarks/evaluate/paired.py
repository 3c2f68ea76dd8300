"""Upsamplers measured on several networks: means with intervals over the networks, and differences
to bilinear.

Every network is its own pair: what upsamplers do is compared on the same features, so the (much
larger) spread between networks does not hide it.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.core.record import Record, by_protocol, is_baseline, upsampler_of
from benchmarks.core.statistics import interval_of_runs
from benchmarks.core.upsamplers import family
from benchmarks.report.html import markdown_table

REFERENCE = "bilinear"


def paired_tables(records: Sequence[Record]) -> str:
    """Returns Markdown: one table per protocol, a row per upsampler in the order of the records.

    Upsamplers with a file are told apart by the file's folder without its number
    (``jbu_0/final.pth`` and ``jbu_1/final.pth`` are both ``jbu``), so that each network may have
    its own. The last value of a network and upsampler counts where there are several.

    Where bilinear was not run at all (networks on their own grid: another protocol) there are no
    differences.

    Raises:
        ValueError: no table has two networks, or bilinear was run on some of a table's networks
            only.
    """
    parts = []
    for group in by_protocol([record for record in records if not is_baseline(record)]):
        measured = _by_upsampler(group)
        networks = {network for values in measured.values() for network in values}
        if len(networks) < 2:
            continue
        lacking = networks - measured[REFERENCE].keys() if REFERENCE in measured else set()
        if lacking:
            raise ValueError(
                f"{REFERENCE} was not run on {', '.join(sorted(lacking))}: nothing to compare with"
            )
        title = f"{group[0].benchmark}, protocol {group[0].protocol_hash}"
        parts += [f"**{title}**", "", *markdown_table(*_table(measured)), ""]
    if not parts:
        raise ValueError(
            "no protocol has records of two or more networks; intervals need several (different "
            "seeds)"
        )
    return "\n".join(parts)


def _by_upsampler(group: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """{upsampler: {network: record}}."""
    found: dict[str, dict[str, Record]] = {}
    for record in group:
        found.setdefault(family(upsampler_of(record.subject)), {})[record.subject["spec"]] = record
    return found


def _table(measured: dict[str, dict[str, Record]]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows; an upsampler's values and differences are over the networks that it was
    run on.
    """
    reference = measured.get(REFERENCE)
    first = next(iter(next(iter(measured.values())).values()))
    headings = ["upsampler"]
    for name, metric in first.metrics.items():
        headings += [metric.heading(name), *([f"minus {REFERENCE}"] if reference else [])]
    rows = []
    for upsampler, records in measured.items():
        row = [upsampler]
        for name in first.metrics:
            row.append(
                interval_of_runs([record.metrics[name].value for record in records.values()]).text()
            )
            if reference:
                pairs = [
                    r.metrics[name].value - reference[n].metrics[name].value
                    for n, r in records.items()
                ]
                row.append("–" if upsampler == REFERENCE else interval_of_runs(pairs).text())
        rows.append([*row, str(len(records))])
    return [*headings, "networks"], rows
