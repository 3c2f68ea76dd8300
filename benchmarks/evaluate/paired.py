"""Upsamplers measured on several networks: means with intervals over networks and images,
ranks, and differences to bilinear.

Every network is its own pair: what upsamplers do is compared on the same features, so the (much
larger) spread between networks does not hide it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, filterfalse

from benchmarks.core.record import Record, by_protocol, is_baseline, upsampler_of
from benchmarks.core.upsamplers import family
from benchmarks.report.renderers import to_markdown
from benchmarks.report.runs import Run
from benchmarks.report.statistics import DIFFERENCE
from benchmarks.report.statistics.ranking import Ranking, intervals_of, rankings_of
from benchmarks.report.statistics.ranks import RANKS, with_rankings
from benchmarks.report.statistics.sentences import against, summary
from benchmarks.report.table import Column, Entry, Table, build, metrics_of

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
        runs = _runs(measured)
        rankings = rankings_of(runs, list(metrics_of(list(chain(*runs.values())))))
        parts += [head, "", *to_markdown(_table(runs, rankings)), "", *_sentences(rankings), ""]
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


def _runs(measured: dict[str, dict[str, Record]]) -> dict[str, list[Run]]:
    """{upsampler: its runs, one per network}."""
    runs: dict[str, list[Run]] = {}
    for upsampler, records in measured.items():
        own = [Run(record, f"{upsampler} on {spec}", spec) for spec, record in records.items()]
        runs[upsampler] = own
    return runs


def _table(runs: dict[str, list[Run]], rankings: dict[str, Ranking]) -> Table:
    """A row per upsampler; its values and differences are over the networks that it was run on."""
    entries = []
    for upsampler, own in runs.items():
        entries.append(Entry(upsampler, own, {UPSAMPLER.name: upsampler, NETWORKS.name: len(own)}))
    return build(
        entries,
        before=(UPSAMPLER,),
        after=(NETWORKS,),
        statistics=with_rankings((RANKS, DIFFERENCE), rankings),
        references=(REFERENCE,),
        intervals=intervals_of(rankings),
    )


def _sentences(rankings: dict[str, Ranking]) -> list[str]:
    """What may be said below a table: of its first metric at length, of each other in one line."""
    if not rankings:
        return []
    first, *others = rankings.values()
    control = against(first, REFERENCE)
    sentences = [f"Arms are upsamplers, seeds are networks. {first.column}:", *first.sentences]
    return [*sentences, *([control] if control else []), *map(summary, others)]
