"""docs/adding_a_data_layout.md: its declaration is copied from the page, tested and evaluated on."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.core.record import read_all
from benchmarks.data import layouts
from benchmarks.data.layout_list import describe
from benchmarks.evaluate.run import Options, evaluate

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "adding_a_data_layout.md").read_text(
    encoding="utf-8"
)
#: {path named in a block's first line: the block}
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
DECLARATION, TEST = BLOCKS


@pytest.fixture
def page_test() -> Iterator[ModuleType]:
    """The page's test module, with the page's layout declared for the length of a test."""
    exec(compile(BLOCKS[DECLARATION], DECLARATION, "exec"), dict(vars(layouts)))
    module = ModuleType("test_orchard")
    sys.modules[module.__name__] = module
    exec(compile(BLOCKS[TEST], TEST, "exec"), module.__dict__)
    yield module
    del sys.modules[module.__name__], layouts.LAYOUTS["orchard"]


def test_the_page_shows_the_files_it_lists() -> None:
    files = re.findall(r"^\| (\S+/[\w./]+)", PAGE, re.MULTILINE)
    assert files == [DECLARATION, TEST, "docs/data.md"]


def test_the_tests_on_the_page_pass(page_test: ModuleType, tmp_path: Path) -> None:
    tests = {name: value for name, value in vars(page_test).items() if name.startswith("test_")}
    assert len(tests) == 3
    for name, test in tests.items():
        test(tmp_path / name)


def test_the_line_on_the_page_is_the_one_of_the_list(page_test: ModuleType) -> None:
    (name, images, files, about) = describe("masks")[-1]
    assert f"| `{name}` | {images} | {files} | {about} |" in PAGE.splitlines()


def test_both_benchmarks_read_the_layout_on_the_page(page_test: ModuleType, tmp_path: Path) -> None:
    root, out = page_test.write_orchard(tmp_path / "data"), tmp_path / "records.jsonl"
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
