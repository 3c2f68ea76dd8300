"""Rank sets and tie letters as a column beside each metric."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.report.runs import Sample
from benchmarks.report.statistics.contract import Statistic
from benchmarks.report.statistics.ranking import rank
from benchmarks.report.statistics.sentences import rank_text


def ranks(samples: Sequence[Sample]) -> list[str | None]:
    """``1–3 AB``: the places that each arm may have, and its letters; None for what is not ranked:
    baselines and arms with fewer than two seeds.
    """
    ranking = rank(samples)
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
)
