"""docs/adding_a_data_layout.md: its declaration is copied from the page, tested and used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.core.record import read_all
from benchmarks.data import layouts
from benchmarks.data.layout_list import describe
from benchmarks.evaluate.run import Options, evaluate

DECLARATION = "benchmarks/data/layouts.py"
TEST = "tests/benchmarks/data/test_orchard.py"


@pytest.fixture
def orchard(page: Any) -> Iterator[Any]:
    """The page, its layout declared for the length of a test."""
    page.load(DECLARATION, within=layouts)
    yield page
    del layouts.LAYOUTS["orchard"]


def test_the_page_shows_the_files_it_lists(page: Any) -> None:
    assert page.files == [*page.blocks, "docs/data.md"] == [DECLARATION, TEST, "docs/data.md"]


def test_the_tests_on_the_page_pass(orchard: Any, tmp_path: Path) -> None:
    tests = orchard.tests(TEST)
    assert len(tests) == 3
    for name, test in tests.items():
        test(tmp_path / name)


def test_the_line_on_the_page_is_the_one_of_the_list(orchard: Any) -> None:
    name, images, files, about = describe("masks")[-1]
    assert f"| `{name}` | {images} | {files} | {about} |" in orchard.text.splitlines()


def test_both_benchmarks_read_the_layout_on_the_page(orchard: Any, tmp_path: Path) -> None:
    root, out = orchard.load(TEST).write_orchard(tmp_path / "data"), tmp_path / "records.jsonl"
    evaluate(
        Options(
            networks=["random:resnet18?output_stride=8"],
            benchmark=["retrieval", "depth"],
            data=[f"orchard:{root}"],
            settings=["retrieval.size=32,48", "depth.size=32,48"],
            device="cpu",
            out=str(out),
        )
    )
    records = {record.benchmark: record for record in read_all(out)}
    assert records["retrieval"].protocol["data"]["layout"] == "orchard"
    # Every pixel is 2.5 m away, and memory knows no other depth.
    assert records["depth"].metrics["RMSE"].value == pytest.approx(0, abs=1e-6)
