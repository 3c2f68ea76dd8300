"""Rank sets and tie letters as a column beside each metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from benchmarks.report.runs import Sample
from benchmarks.report.statistics.contract import Statistic
from benchmarks.report.statistics.ranking import Ranking, rank
from benchmarks.report.statistics.sentences import rank_text


def ranks(
    samples: Sequence[Sample], *, rankings: Mapping[str, Ranking] | None = None
) -> list[str | None]:
    """``1–3 AB``: the places that each arm may have, and its letters; None for what is not ranked:
    baselines and arms with fewer than two seeds.

    Args:
        samples: one per row, all of one metric.
        rankings: column -> its ranking, of those that can be ranked, where they are known; None
            computes it.
    """
    if rankings is None or not samples:
        ranking = rank(samples)
    else:
        ranking = rankings.get(samples[0].runs[0].column(samples[0].metric))
    places = {}
    for arm in ranking.arms if ranking else ():
        places[arm.arm] = f"{rank_text(arm)} {arm.letters}"
    texts = []
    for sample in samples:
        has_seeds = any(run.pair is not None for run in sample.runs)
        texts.append(places.get(sample.name) if has_seeds else None)
    return texts


RANKS = Statistic(
    name="ranks",
    scope="arms",
    compute=ranks,
    heading="ranks",
    explanation=(
        "ranks: the places that an arm may have in this metric, all at once with at least 95 % "
        "confidence; arms that share a letter are not apart."
    ),
    reads_rankings=True,
)


def with_rankings(
    statistics: Sequence[Statistic], rankings: Mapping[str, Ranking]
) -> list[Statistic]:
    """The statistics; those that read rankings take these instead of computing them again.

    Args:
        statistics: of a table.
        rankings: see :func:`ranks`.
    """
    known = []
    for statistic in statistics:
        if statistic.reads_rankings:
            compute = partial(statistic.compute, rankings=rankings)
            statistic = replace(statistic, compute=compute)
        known.append(statistic)
    return known
