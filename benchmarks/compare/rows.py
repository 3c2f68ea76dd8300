"""The rows of a comparison's table: what stands in an arm's cells beside the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from benchmarks.compare.costs import COSTS
from benchmarks.compare.stopping import Short
from benchmarks.report.runs import Run, sample_of
from benchmarks.report.statistics.ranking import Ranking
from benchmarks.report.statistics.sentences import rank_text
from benchmarks.report.table import Column

RANK, ARM, SEEDS = Column("rank"), Column("arm", is_text=True), Column("seeds", digits=0)
LETTERS, FAILED = Column("letters", is_text=True), Column("failed seeds", digits=0)
STOPPED = Column("stopped seeds", digits=0)


def count_cells(
    arms: Mapping[str, Sequence[Run]],
    columns: Sequence[str],
    *,
    failures: Mapping[str, Mapping[int, int]],
    stopped: Mapping[str, Mapping[int, Short]],
) -> dict[str, dict[str, Any]]:
    """Arm -> its name and how many seeds it has, lacks and was stopped in."""
    cells: dict[str, dict[str, Any]] = {}
    for arm, runs in arms.items():
        seeds = max(len(sample_of(arm, runs, column).runs) for column in columns)
        cells[arm] = {ARM.name: arm, SEEDS.name: seeds}
        if failures:
            cells[arm][FAILED.name] = len(failures.get(arm, ()))
        if stopped:
            cells[arm][STOPPED.name] = len(stopped.get(arm, ()))
    return cells


def kind_of_row(cells: Mapping[str, Any], stopped: Mapping[str, Any]) -> str:
    """How an arm's row is drawn."""
    if cells[ARM.name] in stopped:
        return "stopped"
    return "first" if cells.get(RANK.name) == "1" else ""


def count_columns(failures: Mapping[str, Any], stopped: Mapping[str, Any]) -> list[Column]:
    """The columns of failed and stopped seeds, where there are any."""
    return [*([FAILED] if failures else []), *([STOPPED] if stopped else [])]


def known_costs(spent: Mapping[str, Mapping[str, float]]) -> list[Column]:
    """The columns of costs that some arm has."""
    return [cost for cost in COSTS if cost.name in set().union(*spent.values())]


def key_columns(settings: Mapping[str, Mapping[str, str]]) -> list[Column]:
    """A column for each key that a sweep changes."""
    keys = dict.fromkeys(chain(*settings.values()))
    return [Column(key, is_text=True) for key in keys]


def rank_cells(ranking: Ranking | None) -> dict[str, dict[str, str]]:
    """Arm -> its cells of rank and letters."""
    places = {}
    for arm in ranking.arms if ranking else ():
        places[arm.arm] = {RANK.name: rank_text(arm), LETTERS.name: arm.letters}
    return places
