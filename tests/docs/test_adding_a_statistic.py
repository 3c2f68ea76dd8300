"""docs/adding_a_statistic.md: its code is copied from the page, tested and put into a table."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.compare.fairness import compare_configs
from benchmarks.compare.names import PlanError
from benchmarks.compare.plan import load_plan
from benchmarks.compare.table import as_markdown, build_table, frame
from benchmarks.core.record import Metric, Record
from benchmarks.report.runs import Run
from benchmarks.report.statistics import STATISTICS

COMPARING = Path(__file__).resolve().parents[2] / "docs" / "comparing.md"


@pytest.fixture
def statistic(page: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's module, in the list for the length of a test."""
    module = page.load(next(iter(page.blocks)))
    monkeypatch.setitem(STATISTICS, module.WORST.name, module.WORST)
    return module


def test_the_page_shows_the_files_it_lists(page: Any) -> None:
    listed = re.findall(r"^\| (\S+/\S+) \|", page.text, re.MULTILINE)
    files = [path.replace("\\", "") for path in listed]
    init = "benchmarks/report/statistics/__init__.py"
    assert files == [*page.blocks, init, "docs/comparing.md"]
    assert (COMPARING.parents[1] / init).is_file()


def test_the_tests_on_the_page_pass(page: Any, statistic: ModuleType) -> None:
    _, path = page.blocks
    tests = page.tests(path)
    assert len(tests) == 3
    for test in tests.values():
        test()


def test_the_statistic_on_the_page_stands_in_a_comparisons_table(statistic: ModuleType) -> None:
    arms = {}
    for arm, values in (("A", (1.0, 3.0)), ("B", (2.5,))):
        records = [Record("seg", {"mIoU": Metric(value, "%")}, {}) for value in values]
        arms[arm] = [Run(r, f"{arm}/seed_{i}", i, "seg") for i, r in enumerate(records)]
    comparison = build_table(
        arms,
        primary="seg.mIoU",
        fairness=compare_configs({}),
        statistics=[STATISTICS["worst"]],
    )
    assert frame(comparison).set_index("arm")["seg.mIoU worst run"].loc["A"] == 1.0
    markdown = as_markdown(comparison)
    assert "| rank | arm | letters | seg.mIoU [%] | worst run | seeds |" in markdown
    assert "| – | B | – | 2.50 | – | 1 |" in markdown and statistic.WORST.explanation in markdown


def test_a_comparison_asks_for_it_by_name(page: Any, statistic: ModuleType, tmp_path: Path) -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", COMPARING.read_text("utf-8"), re.DOTALL)
    (asked,) = re.findall(r"^    (statistics = .*)$", page.text, re.MULTILINE)
    path = tmp_path / "plan.py"
    path.write_text(f"{code}{asked}\n")
    assert load_plan(path).statistics == ("worst",)
    path.write_text(f"{code}statistics = ('wrst',)\n")
    with pytest.raises(PlanError, match="did you mean 'worst'"):
        load_plan(path)


def test_the_line_on_the_page_has_the_form_of_the_list(page: Any) -> None:
    listed = COMPARING.read_text("utf-8")
    (line,) = re.findall(r"^    (\| `worst` .*)$", page.text, re.MULTILINE)
    assert re.fullmatch(r"\| `\w+` \| [^|]+ \| [^|]+ \|", line)
    names = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", listed, re.MULTILINE)
    assert names == [name for name, statistic in STATISTICS.items() if statistic.heading]
