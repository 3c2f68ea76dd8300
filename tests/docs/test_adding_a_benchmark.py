"""docs/adding_a_benchmark.md: its benchmark is copied from the page, tested, evaluated and
compared.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.compare.evaluate import run_baseline
from benchmarks.compare.plan import load_plan
from benchmarks.core.record import read_all
from benchmarks.evaluate.run import Options, evaluate
from benchmarks.evaluate.suite import BENCHMARKS

NAME = "benchmarks.frozen.mirror"


@pytest.fixture
def mirror(page: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The page's module, as if its file were there and its line in the suite."""
    module = page.load("benchmarks/frozen/mirror.py")
    monkeypatch.setitem(BENCHMARKS, "mirror", module.BENCHMARK)
    return module


def test_the_page_shows_the_files_it_lists(page: Any) -> None:
    assert len(page.files) == 5 and set(page.blocks) <= set(page.files)
    assert set(page.files) - set(page.blocks) == {
        "docs/comparing.md",
        "benchmarks/evaluate/suite.py",
    }


def test_the_tests_on_the_page_pass(
    page: Any, mirror: ModuleType, request: pytest.FixtureRequest
) -> None:
    tests = page.tests("tests/benchmarks/frozen/test_mirror.py")
    assert len(tests) == 5
    for test in tests.values():
        test(*[request.getfixturevalue(name) for name in inspect.signature(test).parameters])


def test_the_line_on_the_page_is_the_one_of_the_list(page: Any, mirror: ModuleType) -> None:
    baselines = ", ".join(f"`{name}`" for name in mirror.BENCHMARK.baselines)
    assert f"      | `mirror` | {mirror.BENCHMARK.about} | {baselines} |" in page.text.splitlines()


@pytest.mark.parametrize("name", ["mirror", NAME])
def test_the_command_line_evaluates_it(
    mirror: ModuleType, image_folder: Path, tmp_path: Path, name: str
) -> None:
    """By its short name and, as a module outside the suite, by its dotted one."""
    out = tmp_path / "records.jsonl"
    evaluate(
        Options(
            networks=["random:test_resnet"],
            benchmark=[name],
            data=[f"classes:{image_folder}"],
            settings=[f"{name}.size=32"],
            quick=True,
            baselines=True,
            device="cpu",
            out=str(out),
        )
    )
    records = read_all(out)
    assert [record.subject["spec"] for record in records] == [
        "random:test_resnet",
        *mirror.BENCHMARK.baselines,
    ]
    assert len({record.protocol_hash for record in records}) == 1
    assert records[0].protocol["images"] == 200 and "batch_size" not in records[0].protocol


def test_the_comparison_on_the_page_is_a_plan(
    page: Any, mirror: ModuleType, image_folder: Path, tmp_path: Path
) -> None:
    text = page.blocks["configs/comparisons/mirror.py"]
    assert 'root="data/scenes/crops"' in text
    path = tmp_path / "mirror.py"
    path.write_text(text.replace("data/scenes/crops", str(image_folder)))
    plan = load_plan(path)
    assert plan.primary == "mirror.found" and len(plan.trials) == 2
    found = {baseline.type: run_baseline(baseline) for baseline in plan.baselines}
    assert found["chance"].metrics["found"].value == pytest.approx(100 / 6)
