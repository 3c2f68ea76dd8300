"""Upsamplers measured on several networks: means with intervals over the networks, and differences
to bilinear.

Every network is its own pair: what upsamplers do is compared on the same features, so the (much
larger) spread between networks does not hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import filterfalse

from benchmarks.core.record import Record, by_protocol, is_baseline, upsampler_of
from benchmarks.core.upsamplers import family
from benchmarks.report.renderers import to_markdown
from benchmarks.report.runs import Run
from benchmarks.report.statistics import DIFFERENCE
from benchmarks.report.table import Column, Entry, Table, build

REFERENCE = "bilinear"
UPSAMPLER, NETWORKS = Column("upsampler", is_text=True), Column("networks", digits=0)


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
    for group in by_protocol(list(filterfalse(is_baseline, records))):
        measured = _by_upsampler(group)
        networks = set().union(*measured.values())
        if len(networks) < 2:
            continue
        lacking = networks - measured[REFERENCE].keys() if REFERENCE in measured else set()
        if lacking:
            raise ValueError(
                f"{REFERENCE} was not run on {', '.join(sorted(lacking))}: nothing to compare with"
            )
        head = f"**{group[0].benchmark}, protocol {group[0].protocol_hash}**"
        parts += [head, "", *to_markdown(_table(measured)), ""]
    if not parts:
        raise ValueError(
            "no protocol has records of two or more networks; intervals need several (different "
            "seeds)"
        )
    return "\n".join(parts)


def _by_upsampler(group: Sequence[Record]) -> dict[str, dict[str, Record]]:
    """{upsampler: {network: record}}."""
    measured: dict[str, dict[str, Record]] = {}
    for record in group:
        upsampler = family(upsampler_of(record.subject))
        measured.setdefault(upsampler, {})[record.subject["spec"]] = record
    return measured


def _table(measured: dict[str, dict[str, Record]]) -> Table:
    """A row per upsampler; its values and differences are over the networks that it was run on."""
    entries = []
    for upsampler, records in measured.items():
        runs = [Run(record, f"{upsampler} on {spec}", spec) for spec, record in records.items()]
        cells = {UPSAMPLER.name: upsampler, NETWORKS.name: len(runs)}
        entries.append(Entry(upsampler, runs, cells))
    return build(
        entries,
        before=(UPSAMPLER,),
        after=(NETWORKS,),
        statistics=(DIFFERENCE,),
        references=(REFERENCE,),
    )
