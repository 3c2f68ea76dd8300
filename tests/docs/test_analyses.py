"""The index of analyses names every analysis, and every page says what a reader must know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.evaluate.suite import analyses

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted((DOCS / "analyses").glob("*.md"))


def rows() -> dict[str, list[str]]:
    """Page of the index -> the analyses that it is about."""
    text = (DOCS / "analyses.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| \[[\w ]+\]\(analyses/(\w+)\.md\) \| (.*?) \|", text, re.MULTILINE)
    return {page: re.findall(r"`(\w+)`", names) for page, names in found}


def test_the_index_holds_every_analysis_and_every_page() -> None:
    named = [name for names in rows().values() for name in names]
    assert sorted(named) == sorted(analyses())
    assert sorted(rows()) == [page.stem for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_commands_metrics_and_cost(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in rows()[page.stem]:
        assert name in text, name
        primary = analyses()[name].metrics[0]
        assert primary in text, f"{name}: {primary} is not explained"
    assert "tools/analyse.py" in text and "cost" in text.lower()
