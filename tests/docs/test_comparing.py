"""docs/comparing.md: the comparison that it shows is a legal one."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.compare.pilots import PILOT_STEPS
from benchmarks.compare.plan import load_plan
from benchmarks.evaluate.suite import BENCHMARKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "comparing.md"


def test_the_example_is_a_plan(tmp_path: Path) -> None:
    code, *_ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "radius.py").write_text(code, encoding="utf-8")
    plan = load_plan(tmp_path / "radius.py")
    assert len(plan.trials) == len(plan.arms) * len(plan.seeds) == 12
    assert [t.seed for t in plan.trials] == [0] * 4 + [1] * 4 + [
        2
    ] * 4  # "all arms have their first seed before …"
    near = next(t for t in plan.trials if t.arm.name == "near")
    assert near.config["model"]["objectives"][0]["pos_radius_diag"] == 0.5
    assert near.config["source"] == {"type": "ImageFolder", "root": "data/photos"}


def test_the_list_of_benchmarks_is_what_they_declare() -> None:
    rows = re.findall(r"^  (\| `\w+` \|.*\|)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    expected = []
    for benchmark in BENCHMARKS.values():
        baselines = ", ".join(f"`{name}`" for name in benchmark.baselines)
        expected.append(f"| `{benchmark.name}` | {benchmark.about} | {baselines}".rstrip() + " |")
    assert rows == expected


def test_the_length_of_the_pilot() -> None:
    assert f"a pilot of {PILOT_STEPS} steps" in PAGE.read_text(encoding="utf-8")
