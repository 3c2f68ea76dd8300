"""Cost against quality: what each arm's training took, and what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    Look,
    looks,
    name_arms,
    new_figure,
    plain_axes,
    save_figure,
)
from benchmarks.report.statistics.ranking import Ranking

AXES = {"minutes": "minutes of training", "pflops": "PFLOPs", "peak_memory_gb": "peak GB"}


@dataclass(frozen=True)
class Costs:
    """What is drawn.

    Attributes:
        ranking: of the primary metric.
        spent: cost -> arm -> mean over trials.
        styles: arm -> its look.
    """

    ranking: Ranking
    spent: Mapping[str, Mapping[str, float]]
    styles: Mapping[str, Look]


def draw_costs(costs: Costs, path: str | Path) -> Path:
    """Draws a panel per cost.

    Args:
        costs: what to draw.
        path: PNG or SVG to write.
    """
    ranking, drawn = costs.ranking, {}
    figure = new_figure(3.2 * len(costs.spent) + 0.6, 3.0)
    panels = figure.subplots(1, len(costs.spent), squeeze=False, sharey=True)[0]
    unit = "" if ranking.unit in ("", "1") else f" [{ranking.unit}]"
    for axes, (cost, spent) in zip(panels, costs.spent.items(), strict=True):
        plain_axes(axes, x=AXES[cost], y=f"{ranking.column}{unit}" if axes is panels[0] else "")
        for arm in ranking.arms:
            if arm.arm in spent:
                look = drawn[arm.arm] = costs.styles[arm.arm]
                bar = axes.errorbar(
                    spent[arm.arm],
                    arm.mean,
                    yerr=arm.half,
                    color=look.colour,
                    marker=look.marker,
                    markersize=6,
                    capsize=3,
                )
                for artist in bar.get_children():
                    artist.set_gid(ARM + arm.arm)
        axes.set_xlim(0, 1.08 * max(spent.values()))
        axes.xaxis.set_major_locator(MaxNLocator(4))
    if ranking.better == "lower":
        panels[0].invert_yaxis()
    name_arms(figure, drawn, line=False)
    return save_figure(figure, path)


def _gather(sources: Sources) -> dict[str, Costs]:
    if not sources.rankings or not sources.costs:
        return {}
    spent: dict[str, dict[str, float]] = {}
    for cost in AXES:
        for arm in sources.arms:
            own = [line[cost] for line in sources.costs if line["arm"] == arm and cost in line]
            if own:
                spent.setdefault(cost, {})[arm] = float(np.mean(own))
    ranking = next(iter(sources.rankings.values()))
    return {"": Costs(ranking, spent, looks(sources.arms))} if spent else {}


COST = Figure(
    name="cost",
    title="Cost against quality",
    caption=(
        "The primary metric with its 95 % interval against the cost of one training, mean over "
        "seeds; up and to the left is better. Minutes were measured while other trials ran."
    ),
    gather=_gather,
    draw=draw_costs,
    section="results",
    form="svg",
)
