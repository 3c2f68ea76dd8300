"""Means per value of a sweep's keys, by hand and in a whole comparison."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.compare.executors import Local
from benchmarks.compare.margins import Margin, margin_table, margins
from benchmarks.compare.parts import Arm, Membership
from benchmarks.compare.plan import load_plan
from benchmarks.compare.run import Options, run_comparison
from benchmarks.core.record import Metric, Record
from benchmarks.core.statistics import t_interval
from benchmarks.report.runs import Run
from benchmarks.report.table import Column

Toy = Callable[..., Path]


def sweep(kind: str, values: dict[tuple[str, ...], tuple[float, ...]]) -> tuple[Margin, ...]:
    """Margins of arms of one sweep with keys x, y, …; values per seed."""
    arms, runs = [], {}
    for levels, scores in values.items():
        name = "+".join(levels)
        named = dict(zip("xyz", levels, strict=False))
        arms.append(Arm(name, Path("r.py"), sweep=Membership("a", kind, named)))
        runs[name] = []
        for seed, score in enumerate(scores):
            record = Record("b", {"m": Metric(score, "%")}, {})
            runs[name].append(Run(record, pair=seed, benchmark="b"))
    return margins(arms, runs, ["b.m"])


def test_a_grid_averages_within_a_seed_and_pairs_differences_by_seed() -> None:
    x, y = sweep(
        "grid",
        {
            ("1", "p"): (1.0, 2.0, 4.0),
            ("1", "q"): (3.0, 5.0, 4.0),
            ("2", "p"): (2.0, 5.0, 5.0),
            ("2", "q"): (6.0, 6.0, 7.0),
        },
    )
    assert (x.label, y.label) == ("x", "y") and [level.arms for level in x.levels] == [2, 2]
    first, second = x.levels
    assert first.means["b.m"] == t_interval([2.0, 3.5, 4.0]) and first.differences == {}
    assert second.means["b.m"] == t_interval([4.0, 5.5, 6.0])
    difference = second.differences["b.m"]
    assert (difference.mean, difference.half, difference.n) == (2.0, 0.0, 3)
    assert y.levels[1].differences["b.m"] == t_interval([3.0, 2.0, 1.0])


def test_vary_compares_over_the_same_other_settings_only() -> None:
    x, y = sweep(
        "vary",
        {("1", "p"): (1.0, 2.0), ("2", "p"): (2.0, 4.0), ("1", "q"): (9.0, 9.0)},
    )
    # x=1 in the arm with y=q has no partner with x=2.
    assert [level.arms for level in x.levels] == [1, 1]
    assert x.levels[0].means["b.m"] == t_interval([1.0, 2.0])
    assert [level.level for level in y.levels] == ["p", "q"]


def test_an_arm_without_results_leaves_its_partners_out() -> None:
    values = {
        ("1", "p"): (1.0, 2.0),
        ("1", "q"): (5.0, 6.0),
        ("2", "p"): (3.0, 4.0),
        ("2", "q"): (),
    }
    x, _ = sweep("grid", values)
    assert [level.arms for level in x.levels] == [1, 1]
    assert [level.means["b.m"].mean for level in x.levels] == [1.5, 3.5]
    values["2", "p"] = (3.0,)  # one seed failed: only the seeds that all have count
    x, _ = sweep("grid", values)
    assert x.seeds == (0,) and x.levels[1].differences["b.m"].half is None


def test_a_number_that_is_none_leaves_no_mean() -> None:
    (x,) = sweep("grid", {("1",): (1.0, np.nan), ("2",): (1.0, 2.0)})
    assert not x.levels[0].means["b.m"].defined and x.levels[1].means["b.m"].defined


def test_drawn_numbers_are_cut_into_thirds_by_size() -> None:
    drawn = {(str(rate), "pq"[rate % 2]): (float(rate),) for rate in (30, 4, 5, 11, 2, 7)}
    x, y = sweep("sample", drawn)
    assert [level.level for level in x.levels] == ["2 to 4", "5 to 7", "11 to 30"]
    assert [level.means["b.m"].mean for level in x.levels] == [3.0, 6.0, 20.5]
    assert {level.level: level.arms for level in y.levels} == {"p": 3, "q": 3}
    table = margin_table(x, [Column("b.m", better="higher")])
    assert "part of a difference" in table.notes[1] and len(table.rows) == 3


@pytest.mark.parametrize("values", [{("1",): (1.0,)}, {("1",): (1.0,), ("2",): ()}])
def test_one_value_has_no_margin(values: dict[tuple[str, ...], tuple[float, ...]]) -> None:
    assert sweep("grid", values) == ()


def test_a_swept_comparison_has_its_keys_as_columns_and_means_below(
    toy: Toy, trainer: tuple[str, ...]
) -> None:
    grid = "{'schedule.lr_per_256': (0.2, 3.0), 'optimizer.weight_decay': (0.1, 0.2)}"
    path = toy(f"arms = dict(untrained=dict(train=False), a=dict(grid={grid}))")
    out = io.StringIO()
    options = Options(Local(jobs=2, gpus=0), trainer=trainer, console=Console(file=out, width=200))
    assert run_comparison(load_plan(path, "out"), options) == 0
    table = json.loads(Path("out/table.json").read_text())
    rows = {row["arm"]: row for row in table["rows"]}
    assert rows["a+lr_per_256=3.0+weight_decay=0.1"]["lr_per_256"] == "3.0"
    assert rows["untrained"]["lr_per_256"] is None
    rate, decay = table["margins"]
    # The toy's score is 10·rate + seed.
    assert [level["means"]["toy.score"]["mean"] for level in rate["levels"]] == [2.5, 30.5]
    assert rate["levels"][1]["differences"]["toy.score"]["mean"] == pytest.approx(28.0)
    assert decay["levels"][1]["differences"]["toy.score"]["mean"] == 0.0
    markdown = Path("out/table.md").read_text()
    assert "| rank | arm | lr_per_256 | weight_decay | letters |" in markdown
    assert "Means per lr_per_256 (grid of a):" in markdown
    assert "| 3.0 | 30.50 ± 6.35 | 28.00 ± 0.00 |" in markdown
    assert "lr_per_256" in Path("out/table.csv").read_text().splitlines()[0]
    page = Path("out/index.html").read_text()
    assert "Means per lr_per_256 (grid of a)" in page and 'data-column="weight_decay"' in page
    assert "lr_per_256 (grid of a)" in out.getvalue()
