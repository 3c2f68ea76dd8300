"""What a comparison will be able to see, said before anything trains.

The spread over seeds comes from an earlier comparison in the same or a neighbouring work folder
that measured the same benchmark on the same data, else from ``expected_sd``; without either the
line is in units of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.parts import Plan
from benchmarks.evaluate.suite import Task
from benchmarks.report.statistics.pairs import complete_blocks, mean_square
from benchmarks.report.statistics.power import smallest_of_all, smallest_of_pair
from pretrain.files import read_dict


@dataclass(frozen=True)
class Spread:
    """Residual standard deviation of arms × seeds.

    Attributes:
        value: in the metric's unit.
        source: where it comes from, as the end of "if they vary …".
    """

    value: float
    source: str


def foresight(plan: Plan, task: Task) -> str:
    """The line to print.

    Args:
        plan: the comparison.
        task: the opened benchmark of its primary metric.
    """
    arms, seeds = len(plan.arms), len(plan.seeds)
    if arms < 2:
        return "One arm: there is no difference to find."
    if seeds < 2:
        return (
            "One seed finds no difference, however large, and ranks nothing; three would: write "
            "seeds = (0, 1, 2) in the config."
        )
    effect = float(smallest_of_all(arms, seeds))
    text = (
        f"{arms} arms and {seeds} seeds find a true difference of {effect:.2f} residual standard "
        f"deviations in {plan.primary} with 80 % power"
    )
    pair = float(smallest_of_pair(seeds)) * math.sqrt(2)  # of the difference: √2 residual ones
    if plan.planned is not None:
        text += f", the planned pair one of {pair:.2f}"
    spread = earlier_spread(plan, task)
    if spread is None and plan.expected_sd is not None:
        spread = Spread(plan.expected_sd, "as expected_sd says")
    if spread is None:
        return f"{text} (expected_sd=… in the config turns that into units of the metric)."
    sizes = f"{effect * spread.value:.3g}"
    if plan.planned is not None:
        sizes += f" and {pair * spread.value:.3g}"
    return f"{text}: {sizes} if they vary {spread.source} ({spread.value:.3g})."


def earlier_spread(plan: Plan, task: Task) -> Spread | None:
    """The spread of the newest earlier table with the same benchmark, its own folder's first."""
    metric = plan.primary.split(".", 1)[1]
    for path in _earlier_tables(plan.work_dir):
        table = read_dict(path)
        for name, protocol in table.get("protocols", {}).items():
            values = _grid(table.get("values", []), f"{name}.{metric}")
            if min(values.shape) > 1 and _is_same(task, protocol):
                square, _ = mean_square(values)
                source = f"as {values.shape[0]} arms over {values.shape[1]} seeds in {path.parent}"
                return Spread(math.sqrt(float(square)), source) if square > 0 else None
    return None


def _earlier_tables(work_dir: Path) -> Iterator[Path]:
    own = work_dir / "table.json"
    others = [path for path in work_dir.parent.glob("*/table.json") if path != own]
    yield from [own] * own.is_file()
    yield from sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)


def _grid(values: list[dict[str, Any]], column: str) -> np.ndarray:
    """(arms, seeds) of the arms with at least two seeds, on the seeds that all of these have."""
    arms: dict[str, dict[int, float]] = {}
    for line in values:
        if line["column"] == column and line["value"] is not None:
            arms.setdefault(line["arm"], {})[line["seed"]] = line["value"]
    rows = [own for own in arms.values() if len(own) > 1]
    seeds = list(dict.fromkeys(seed for own in rows for seed in own))
    grid = np.full((len(rows), len(seeds)), np.nan)
    for row, own in enumerate(rows):
        for seed, value in own.items():
            grid[row, seeds.index(seed)] = value
    return complete_blocks(grid) if grid.size else np.zeros((0, 0))


def _is_same(task: Task, protocol: dict[str, Any]) -> bool:
    """Whether a stored protocol is what this task will have: equal data, equal settings but those
    that only the run decides.
    """
    if not hasattr(task.data, "protocol"):
        return False
    expected = task.benchmark.protocol(task.data, task.settings, {})
    expected = json.loads(json.dumps(expected, default=str))
    for key, value in expected.items():
        if value not in (None, "auto", protocol.get(key)):
            return False
    return True
