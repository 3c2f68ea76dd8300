"""The ledger as a page, ``docs/claims.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.runs.ledger.claim import Claim, Paper
from benchmarks.runs.ledger.decide import MIXED, VERDICTS, Outcome, outcomes_of, verdict_of

#: What is behind this line of the page is written; what stands above it is kept.
MARK = "<!-- below: written by python -m benchmarks.runs.ledger -->"


def rewritten(page: str, papers: Sequence[Paper], records: Path) -> str:
    """Returns the page with the ledger as it is now.

    Args:
        page: with the line :data:`MARK`.
        papers: the registry.
        records: folder of the records.

    Raises:
        ValueError: the page has no such line.
    """
    head, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"docs/claims.md: the line {MARK!r} is missing; put it below the text")
    return f"{head}{MARK}\n\n{as_markdown(papers, records)}"


def as_markdown(papers: Sequence[Paper], records: Path) -> str:
    """Returns the ledger: all claims with their verdicts, then each with what decides it.

    Args:
        papers: the registry.
        records: folder of the records.
    """
    decided: dict[str, list[tuple[Claim, list[Outcome]]]] = {}
    for paper in papers:
        decided[paper.title] = [(claim, outcomes_of(claim, records)) for claim in paper.claims]
    lines = _overview(decided)
    for paper in papers:
        lines += ["", f"## {paper.title}", paper.cited, ""]
        for claim, outcomes in decided[paper.title]:
            lines += _entry(claim, outcomes)
    return "\n".join(lines).rstrip() + "\n"


def _overview(decided: dict[str, list[tuple[Claim, list[Outcome]]]]) -> list[str]:
    counts: Counter[str] = Counter()
    rows = []
    for title, entries in decided.items():
        for claim, outcomes in entries:
            counts[verdict_of(outcomes)] += 1
            rows.append(f"| {title} | {claim.claim} | {_verdict(outcomes)} |")
    shares = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
    total = f"**{counts.total()} claims**: {', '.join(shares)}."
    return [total, "", "| paper | claim | verdict |", "|---|---|---|", *rows]


def _entry(claim: Claim, outcomes: Sequence[Outcome]) -> list[str]:
    """A claim with what decides it."""
    lines = [f"**{claim.claim}** *{_verdict(outcomes)}*", ""]
    lines += [f"- where: {claim.place}", f"- confirmed by: {claim.confirms}"]
    commands = " and ".join(f"`{command}`" for command in claim.commands)
    lines += [f"- command: {commands}", f"- scale: {claim.scale}"]
    decided = dict.fromkeys(f"- {outcome.verdict}: {outcome.text}" for outcome in outcomes)
    return [*lines, *decided, ""]


def _verdict(outcomes: Sequence[Outcome]) -> str:
    """The verdict; of a mixed one also how many tests have which."""
    verdict = verdict_of(outcomes)
    if verdict != MIXED:
        return verdict
    counts = Counter(outcome.verdict for outcome in outcomes)
    parts = [f"{counts[one]} {one}" for one in VERDICTS if counts[one]]
    return f"{verdict}: {', '.join(parts)}"
