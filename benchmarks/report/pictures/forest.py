"""Forest plot: every arm's mean with its interval, its seeds and the letters of what is apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    INK,
    Look,
    looks,
    new_figure,
    plain_axes,
    save_figure,
)
from benchmarks.report.runs import sample_of
from benchmarks.report.statistics.ranking import Ranking
from benchmarks.report.statistics.sentences import rank_text


@dataclass(frozen=True)
class Forest:
    """One metric.

    Attributes:
        ranking: its arms, the best first.
        values: arm -> one value per seed.
        styles: arm -> its look.
    """

    ranking: Ranking
    values: Mapping[str, list[float]]
    styles: Mapping[str, Look]


def draw_forest(forest: Forest, path: str | Path) -> Path:
    """Draws a row per arm, the best at the top.

    Args:
        forest: what to draw.
        path: PNG or SVG to write.
    """
    ranking = forest.ranking
    figure = new_figure(5.4, 0.9 + 0.3 * len(ranking.arms))
    axes = figure.subplots()
    unit = "" if ranking.unit in ("", "1") else f" [{ranking.unit}]"
    lower = ", lower is better" if ranking.better == "lower" else ""
    plain_axes(axes, x=f"{ranking.column}{unit}{lower}")
    for row, arm in enumerate(ranking.arms):
        look, group = forest.styles[arm.arm], ARM + arm.arm
        axes.errorbar(
            arm.mean,
            row,
            xerr=arm.half,
            color=look.colour,
            marker=look.marker,
            markersize=6,
            linewidth=1.6,
            capsize=3,
        )
        for artist in axes.containers[-1].get_children():
            artist.set_gid(group)
        seeds = forest.values[arm.arm]
        style = dict(marker="|", color=look.colour, markersize=9, linestyle="none", alpha=0.7)
        axes.plot(seeds, [row + 0.28] * len(seeds), gid=group, **style)
        axes.annotate(
            f"{rank_text(arm)}  {arm.letters}",
            (1.02, row),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
            color=INK,
            gid=group,
        )
    axes.set_yticks(range(len(ranking.arms)), [arm.arm for arm in ranking.arms])
    for label in axes.get_yticklabels():
        label.set_gid(ARM + label.get_text())
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    return save_figure(figure, path)


def _gather(sources: Sources) -> dict[str, Forest]:
    styles, sheets = looks(sources.arms), {}
    for column, ranking in sources.rankings.items():
        values = {}
        for arm in ranking.arms:
            sample = sample_of(arm.arm, sources.runs[arm.arm], column)
            values[arm.arm] = sample.values.tolist()
        sheets[column] = Forest(ranking, values, styles)
    return sheets


FOREST = Figure(
    name="forest",
    title="Means and intervals",
    caption=(
        "mean and 95 % interval of each arm, its seeds as ticks below, at the right the ranks that "
        "it may have and its letters. Intervals of single arms that overlap say nothing about "
        "their difference: the matrix of pairs does."
    ),
    gather=_gather,
    draw=draw_forest,
    section="results",
    form="svg",
)
