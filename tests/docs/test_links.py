"""README.md and docs: every relative link leads to a file, and every anchor to a heading in it."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def prose(page: Path) -> str:
    """Returns a page's text without its fenced blocks."""
    return re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )


@cache
def anchors(page: Path) -> set[str]:
    """Returns the anchors that GitHub gives a page's headings."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        names.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return names


def broken(page: Path) -> list[str]:
    """Returns the relative links of a page that lead nowhere."""
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert not broken(page)


def test_a_link_to_no_file_and_to_no_heading_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`, c\n\n## Twice\n## Twice\n[1](#a-b-c) [2](page.md#twice-1) [3](https://x.y#z)\n"
        "[4](#d) [5](none.md) [6](page.md#twice-2)\n",
        encoding="utf-8",
    )
    assert broken(page) == ["#d", "none.md", "page.md#twice-2"]


def test_the_index_the_catalogue_and_the_list_of_analyses_lead_to_every_page() -> None:
    docs, linked = ROOT / "docs", set()
    for name in ("index.md", "catalogue.md", "analyses.md"):
        linked |= set(re.findall(r"\]\(([^)#]+)\)", (docs / name).read_text(encoding="utf-8")))
    pages = [page for page in PAGES[1:] if page.parent.name != "results"]
    names = {str(page.relative_to(docs)) for page in pages}
    assert names - {"index.md"} <= linked
