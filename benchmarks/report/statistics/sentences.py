"""A ranking in words: what stands below a table, and no more than the ranking holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.report.statistics.pairs import LEVENE_LEVEL
from benchmarks.report.statistics.power import MOST_SEEDS

if TYPE_CHECKING:
    from benchmarks.report.statistics.ranking import ArmEstimate, PairEstimate, Ranking


def sentences_of(ranking: Ranking) -> tuple[str, ...]:
    """What may be said of one metric, in the order in which it is read."""
    sentences = [_order(ranking), _method(ranking), cover(ranking), *_absent(ranking)]
    sentences += [*_missing(ranking), *_detectable(ranking), _two_best(ranking)]
    return tuple(sentences)


def rank_text(arm: ArmEstimate) -> str:
    """The places that an arm may have: ``1–3``, or a single one."""
    return str(arm.low) if arm.low == arm.high else f"{arm.low}–{arm.high}"


def summary(ranking: Ranking) -> str:
    """One sentence on a metric that does not order the table."""
    places = [f"{arm.arm} {rank_text(arm)} {arm.letters}" for arm in ranking.arms]
    pairs = ", by paired t-tests with Holm's correction" if ranking.method == "holm" else ""
    direction = " (lower is better)" if ranking.better == "lower" else ""
    return (
        f"{ranking.column}{direction}: ranks and letters{pairs}: {', '.join(places)}; ± over "
        f"{ranking.arms[0].covers}{'' if ranking.images else ' only'}."
    )


def cover(ranking: Ranking) -> str:
    """What the intervals of the arms cover."""
    if not ranking.images:
        return (
            "± is half of each arm's 95 % interval over seeds only: the records do not tell how "
            "much other images would change."
        )
    drawn = "drawn one by one, as the records name no groups"
    if ranking.clusters is not None:
        drawn = f"drawn in {ranking.clusters} groups of images that belong together"
    shares = [round(100 * arm.image_share) for arm in ranking.arms if arm.image_share is not None]
    share = ""
    if shares:
        span = f"{min(shares)}–{max(shares)}" if min(shares) < max(shares) else f"{shares[0]}"
        share = f"; the images' share of its variance is {span} %"
    return (
        f"± is half of each arm's 95 % interval over seeds and images ({ranking.images} images, "
        f"{drawn}){share}."
    )


def _order(ranking: Ranking) -> str:
    return (
        f"Each arm's rank lies in the range given, all ranges at once with at least 95 % "
        f"confidence; arms that share a letter are not apart, and their order is by mean only. The "
        f"best mean of {len(ranking.arms)} arms is optimistic: it was picked by this very number."
    )


def _method(ranking: Ranking) -> str:
    count = len(ranking.pairs)
    pairs = f"all {count} differences" if count > 1 else "the one difference"
    if ranking.method == "tukey":
        test = "too few arms or seeds to test that"
        if ranking.levene_p is not None:
            test = f"Levene's test: p = {ranking.levene_p:.2g}"
        spread = with_unit(ranking, (ranking.mse or 0.0) ** 0.5)
        return (
            f"They follow from Tukey's simultaneous intervals of {pairs}, with seeds as blocks and "
            f"one residual spread for all arms, {spread} ({test})."
        )
    reason = "fewer than two seeds are complete"
    if ranking.blocks > 1:
        reason = "arms that do not depend on the seed share no spread with those that do"
    if ranking.levene_p is not None and ranking.levene_p < LEVENE_LEVEL:
        reason = f"the arms' spreads differ (Levene's test: p = {ranking.levene_p:.2g})"
    return f"They follow from paired t-tests of {pairs} with Holm's correction, because {reason}."


def _absent(ranking: Ranking) -> list[str]:
    if not ranking.absent:
        return []
    return [
        f"In {100 * ranking.absent:.2g} % of the draws of images a class occurs nowhere; it is "
        "left out of that draw's mean."
    ]


def _missing(ranking: Ranking) -> list[str]:
    lacking = []
    for arm in ranking.arms:
        if arm.seeds_missing:
            lacking.append(f"{arm.arm} ({', '.join(map(str, arm.seeds_missing))})")
    if not lacking:
        return []
    spread = ""
    if ranking.method == "tukey":
        spread = f"; the spread comes from the {ranking.blocks} seeds that all arms have"
    return [
        f"Seeds are missing from {', '.join(lacking)}: a pair is compared on the seeds that both "
        f"have{spread}."
    ]


def _detectable(ranking: Ranking) -> list[str]:
    if ranking.detectable is None:
        return []
    size = with_unit(ranking, ranking.detectable)
    return [f"The smallest true difference found with 80 % power is {size}."]


def _two_best(ranking: Ranking) -> str:
    pair = ranking.pairs[0]
    names = f"The two best, {pair.first} and {pair.second},"
    if pair.above:
        return f"{names} are apart."
    start = f"{names} are not apart"
    if pair.half is None:
        return f"{start}: nothing tells how much they vary."
    if not pair.difference:
        return f"{start}: they do not differ."
    size = with_unit(ranking, abs(pair.difference))
    if ranking.seeds_to_separate is None:
        return f"{start}; if they differ by {size} as measured, {MOST_SEEDS:,} seeds would not do."
    return (
        f"{start}; if they differ by {size} as measured, {ranking.seeds_to_separate} seeds would "
        "separate them with 80 % power."
    )


def against(ranking: Ranking, arm: str) -> str | None:
    """Which arms are apart from one, and which are not; None if it is not ranked."""
    side = {"higher": ("above", "below"), "lower": ("below", "above")}[ranking.better]
    groups: dict[str, list[str]] = {
        f"{side[0]} it (better)": [],
        f"{side[1]} it (worse)": [],
        "not apart from it": [],
    }
    better, worse, equal = groups.values()
    for pair in ranking.pairs:
        if arm in (pair.first, pair.second):
            other = _other(pair, arm)
            (equal if pair.above is None else worse if pair.above == arm else better).append(other)
    parts = [f"{group}: {', '.join(names)}" for group, names in groups.items() if names]
    return f"Against {arm} – {'; '.join(parts)}." if parts else None


def with_unit(ranking: Ranking, value: float) -> str:
    """A number of the metric to three digits, with its unit."""
    unit = "" if ranking.unit in ("", "1") else f" {ranking.unit}"
    return f"{value:.3g}{unit}"


def _other(pair: PairEstimate, arm: str) -> str:
    return pair.second if pair.first == arm else pair.first
