"""The tables of an evaluation: one per protocol, a row per network and upsampler."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.core.record import Record, by_protocol, is_baseline, upsampler_of
from benchmarks.report.runs import Run
from benchmarks.report.table import Column, Entry, Table, build, protocol_title

NETWORK, UPSAMPLER = Column("network", is_text=True), Column("upsampler", is_text=True)
SECONDS, WAITING = Column("s", digits=1), Column("waiting [%]", digits=0)


def evaluation_tables(records: Sequence[Record]) -> list[Table]:
    """One table per protocol hash, the best network of each metric marked: numbers of unequal
    protocols never meet.

    Args:
        records: of any benchmarks.
    """
    tables = []
    for group in by_protocol(records):
        upsampled = any("upsampler" in record.subject for record in group)
        table = build(
            list(map(_entry, group)),
            **protocol_title(group[0]),
            before=(NETWORK, UPSAMPLER) if upsampled else (NETWORK,),
            after=(SECONDS, WAITING),
            mark_best=True,
        )
        tables.append(table)
    return tables


def _entry(record: Record) -> Entry:
    spec, baseline = str(record.subject.get("spec", "?")), is_baseline(record)
    seconds, waiting = (record.cost.get(key) for key in ("seconds", "waiting_seconds"))
    cells = {
        NETWORK.name: spec,
        UPSAMPLER.name: None if baseline else upsampler_of(record.subject),
        SECONDS.name: seconds,
        WAITING.name: 100 * waiting / seconds if seconds and waiting is not None else None,
    }
    return Entry(spec, [Run(record, spec)], cells, kind="baseline" if baseline else "")
