"""What may be said of each arm against the one it is compared with: better, worse, or neither."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.report.runs import Sample
from benchmarks.report.statistics.contract import Statistic
from benchmarks.report.statistics.ranking import PairEstimate, Ranking, rank

BETTER, WORSE, NEITHER = "better", "worse", "not separable"


def verdict_of(pair: PairEstimate, arm: str) -> str:
    """``better``, ``worse`` or ``not separable``: one of a pair against the other.

    Args:
        pair: of a ranking.
        arm: one of the two.
    """
    if pair.above is None:
        return NEITHER
    return BETTER if pair.above == arm else WORSE


def pair_of(ranking: Ranking, arm: str, reference: str) -> PairEstimate | None:
    """The pair of two arms; None where one of them is not ranked."""
    for pair in ranking.pairs:
        if {pair.first, pair.second} == {arm, reference}:
            return pair
    return None


def verdict(
    sample: Sample, reference: Sample, *, rankings: Mapping[str, Ranking] | None = None
) -> str | None:
    """``+1.3 ± 0.9, better``: the paired difference with its simultaneous 95 % interval, over seeds
    and, where their counts are kept, over images; and whether that separates the two.

    Args:
        sample: of an arm.
        reference: of the arm that it is compared with.
        rankings: column -> its ranking of all arms, where they are known; None ranks the two alone.

    Returns:
        None where one of them is not ranked: a baseline, or an arm with fewer than two seeds.
    """
    if rankings is None:
        ranking = rank([sample, reference])
    else:
        ranking = rankings.get(sample.runs[0].column(sample.metric))
    pair = pair_of(ranking, sample.name, reference.name) if ranking else None
    if pair is None:
        return None
    sign = 1 if pair.first == sample.name else -1
    half = "" if pair.half is None else f" ± {pair.half:.2f}"
    return f"{sign * pair.difference:+.2f}{half}, {verdict_of(pair, sample.name)}"


VERDICT = Statistic(
    name="verdict",
    scope="pair",
    compute=verdict,
    heading="against {reference}",
    explanation=(
        "against: paired difference with its simultaneous 95 % interval; better or worse only "
        "where that excludes 0."
    ),
    reads_rankings=True,
)


def separated(pairs: Sequence[PairEstimate], reference: str) -> dict[str, list[str]]:
    """``better``, ``worse`` and ``not separable`` -> the arms that are so, compared with one.

    Args:
        pairs: of a ranking.
        reference: the one.
    """
    groups: dict[str, list[str]] = {BETTER: [], WORSE: [], NEITHER: []}
    for pair in pairs:
        if reference in (pair.first, pair.second):
            other = pair.second if pair.first == reference else pair.first
            groups[verdict_of(pair, other)].append(other)
    return groups
