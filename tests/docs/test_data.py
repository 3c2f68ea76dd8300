"""docs/data.md: its tables of layouts say what is declared."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.data.layout_list import as_text, describe
from benchmarks.data.layouts import LAYOUTS
from benchmarks.data.prepare.fetched import FETCHED
from benchmarks.data.prepare.originals import ORIGINALS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("labels", ["masks", "depth", "normals", "videos"])
def test_each_declared_layout_has_its_line(labels: str) -> None:
    lines = PAGE.splitlines()
    for name, images, files, about in describe(labels):
        assert f"| `{name}` | {images} | {files} | {about} |" in lines


def test_each_layout_of_sets_has_its_line() -> None:
    lines = PAGE.splitlines()
    for name, images, _, about in describe("sets"):
        assert f"| `{name}` | {images} | {about} |" in lines


@pytest.mark.parametrize("labels", ["points", "views"])
def test_each_layout_of_pairs_has_its_line(labels: str) -> None:
    lines = PAGE.splitlines()
    for name, _, _, about in describe(labels):
        assert f"| `{name}` | {about} |" in lines


def test_the_page_and_the_list_know_every_layout() -> None:
    for name in LAYOUTS:
        assert f"\n  {name} " in as_text()
        assert f"`{name}`" in PAGE or f"`{name}:ROOT" in PAGE


def test_each_set_that_users_fetch_has_its_line() -> None:
    lines = PAGE.splitlines()
    for name, own in FETCHED.items():
        counts = ", ".join(f"{number:,} {word}" for word, number in own.counts.items())
        assert f"| `{name}` | {own.unpack} | {own.page} | {counts} |" in lines


def test_each_set_that_is_made_has_its_line() -> None:
    for name, own in ORIGINALS.items():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | the "))
        assert f" {own.megabytes} MB " in line
        assert f"`{own.packed}.tar`" in PAGE
