"""The line before the run: what so many seeds and arms can see."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.compare.foresight import earlier_spread, foresight
from benchmarks.compare.parts import Plan
from benchmarks.core.benchmark import Benchmark
from benchmarks.evaluate.suite import Task
from benchmarks.frozen.knn import BENCHMARK as KNN

VALUES = dict(
    a=(30.1, 31.4, 29.8), b=(30.9, 32.6, 30.7), c=(28.0, 29.9, 28.4), d=(22.8, 23.1, 22.6)
)
SPREAD = 0.163056**0.5


@pytest.fixture
def task() -> Task:
    data = SimpleNamespace(protocol=dict(val_content="abc", every=(1, 1)))
    return Task("knn", KNN, data, KNN.settings(size=64))


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Four arms and three seeds; only what the line reads."""
    return Plan(
        path=tmp_path / "toy.py",
        work_dir=tmp_path / "work" / "toy",
        arms=("a", "b", "c", "d"),  # type: ignore[arg-type]
        seeds=(0, 1, 2),
        benchmarks=(),
        budget_kind="samples",
        budget_amount=1.0,
        primary="knn.top1",
        trials=(),
    )


def write_table(folder: Path, protocol: dict[str, Any], name: str = "photos") -> Path:
    """A finished comparison's table.json, of which the line reads protocols and values."""
    folder.mkdir(parents=True)
    values = []
    for arm, own in VALUES.items():
        for seed, value in enumerate(own):
            values.append(dict(arm=arm, seed=seed, column=f"{name}.top1", value=value))
    content = dict(protocols={name: protocol}, values=values)
    (folder / "table.json").write_text(json.dumps(content))
    return folder / "table.json"


def protocol(benchmark: Benchmark, task: Task, **changed: Any) -> dict[str, Any]:
    """As a record has it: facts in place of what only a run decides."""
    facts = dict(backend="faiss-cpu", neighbours_effective=20)
    return benchmark.protocol(task.data, task.settings, facts) | changed


def test_in_units_of_the_spread_where_nothing_is_known(plan: Plan, task: Task) -> None:
    assert foresight(plan, task) == (
        "4 arms and 3 seeds find a true difference of 3.67 residual standard deviations in "
        "knn.top1 with 80 % power (expected_sd=… in the config turns that into units of the "
        "metric)."
    )


def test_with_an_expected_spread_and_a_planned_pair(plan: Plan, task: Task) -> None:
    """3.264 sd of a difference are 3.264 · √2 residual ones."""
    line = foresight(replace(plan, expected_sd=0.5, planned=("a", "b")), task)
    assert line.endswith(
        "with 80 % power, the planned pair one of 4.62: 1.83 and 2.31 if they vary as expected_sd "
        "says (0.5)."
    )


def test_the_spread_of_an_earlier_comparison(plan: Plan, task: Task) -> None:
    """Of the newest with this protocol, whatever it called the benchmark; its own folder first."""
    folder = plan.work_dir.parent
    older = write_table(folder / "older", protocol(KNN, task))
    write_table(folder / "other_data", protocol(KNN, task, data=dict(val_content="xyz")))
    write_table(folder / "other_size", protocol(KNN, task, size=32))
    spread = earlier_spread(replace(plan, expected_sd=9.0), task)
    assert spread.value == pytest.approx(SPREAD, rel=1e-5)
    assert spread.source == f"as 4 arms over 3 seeds in {folder / 'older'}"
    newer = write_table(folder / "newer", protocol(KNN, task))
    os.utime(older, (1, 1))
    assert earlier_spread(plan, task).source.endswith(str(newer.parent))
    write_table(plan.work_dir, protocol(KNN, task), name="knn")
    os.utime(plan.work_dir / "table.json", (0, 0))
    line = foresight(plan, task)
    assert line.endswith(f"1.48 if they vary as 4 arms over 3 seeds in {plan.work_dir} (0.404).")


def test_too_little_to_tell_a_spread(plan: Plan, task: Task) -> None:
    path = write_table(plan.work_dir, protocol(KNN, task))
    table = json.loads(path.read_text())
    table["values"] = [line for line in table["values"] if line["seed"] == 0]
    path.write_text(json.dumps(table))
    assert earlier_spread(plan, task) is None
    path.write_text("{ torn")
    assert earlier_spread(plan, task) is None


def test_one_seed_or_one_arm_finds_nothing(plan: Plan, task: Task) -> None:
    assert "ranks nothing" in foresight(replace(plan, seeds=(0,)), task)
    assert "no difference to find" in foresight(replace(plan, arms=plan.arms[:1]), task)
