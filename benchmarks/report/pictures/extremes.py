"""The same test images for all arms: those on which the arms differ most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    INK,
    Look,
    looks,
    new_figure,
    plain_axes,
    save_figure,
)
from benchmarks.report.runs import sample_of
from benchmarks.report.statistics.bootstrap import sums_of_runs

SHOWN = 6


@dataclass(frozen=True)
class Extremes:
    """What is drawn.

    Attributes:
        pictures: (H, W, 3) uint8 RGB each.
        numbers: of the images in the data.
        scores: arm -> (len(pictures),) metric of each image by itself, mean over seeds.
        label: of the metric.
        styles: arm -> its look.
    """

    pictures: list[np.ndarray]
    numbers: list[int]
    scores: Mapping[str, np.ndarray]
    label: str
    styles: Mapping[str, Look]


def scores_of_images(sources: Sources) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    """The primary metric of every image by itself, mean over seeds.

    Returns:
        Numbers of the images (n,) and arm -> (n,) float; None where an arm keeps no counts of the
        same images.
    """
    column, scores, images = next(iter(sources.rankings)), {}, None
    for arm in sources.rankings[column].arms:
        sample = sample_of(arm.arm, sources.runs[arm.arm], column)
        sums = sums_of_runs([run for run in sample.runs], sample.metric)
        if sums is None or (images is not None and not np.array_equal(sums[0].images, images)):
            return None
        images = sums[0].images
        rows = [own.metric(own.parts, own.wholes) for own in sums]
        scores[arm.arm] = np.mean(rows, axis=0)
    return images, scores


def draw_extremes(extremes: Extremes, path: str | Path) -> Path:
    """Draws the images in a row, and below each the score of every arm.

    Args:
        extremes: what to draw.
        path: PNG to write.
    """
    count = len(extremes.pictures)
    height = 0.32 + 0.17 * len(extremes.scores)
    figure = new_figure(1.0 + 1.6 * count, 1.75 + height)
    axes = figure.subplots(2, count, squeeze=False, height_ratios=[1.5, height])
    names, shown = list(extremes.scores), np.stack(list(extremes.scores.values()))
    for place in range(count):
        axes[0, place].imshow(extremes.pictures[place])
        axes[0, place].set(xticks=[], yticks=[])
        axes[0, place].set_title(f"image {extremes.numbers[place]}", fontsize=8, color=INK)
        bars = axes[1, place]
        plain_axes(bars)
        colours = [extremes.styles[name].colour for name in names]
        bars.barh(range(len(names)), shown[:, place], color=colours, height=0.7)
        bars.set_yticks(range(len(names)), names if place == 0 else [])
        bars.set_xlim(0, max(float(np.nanmax(shown)), 1e-9))
        bars.invert_yaxis()
    figure.supxlabel(f"{extremes.label} of the image by itself, mean over seeds", fontsize=8)
    return save_figure(figure, path)


def _gather(sources: Sources) -> dict[str, Extremes]:
    if sources.scored is None or not sources.rankings:
        return {}
    known = scores_of_images(sources)
    if known is None:
        return {}
    numbers, scores = known
    rows = np.stack(list(scores.values()))  # (A, n)
    means, spread = rows.mean(0), rows.max(0) - rows.min(0)
    chosen = {
        "where the arms differ most": np.argsort(-spread, kind="stable"),
        "best for all arms together": np.argsort(-means, kind="stable"),
        "worst for all arms together": np.argsort(means, kind="stable"),
    }
    ranking = next(iter(sources.rankings.values()))
    label = ranking.column + ("" if ranking.unit in ("", "1") else f" [{ranking.unit}]")
    sheets = {}
    for title, order in chosen.items():
        places = [int(place) for place in order if np.isfinite(means[place])][:SHOWN]
        own = {arm: values[places] for arm, values in scores.items()}
        images = [int(numbers[place]) for place in places]
        pictures = list(map(sources.scored, images))
        sheets[title] = Extremes(pictures, images, own, label, looks(sources.arms))
    return sheets


EXTREMES = Figure(
    name="images",
    title="Successes and failures on the same images",
    caption=(
        "chosen by the primary metric of each image by itself. Such a choice shows what happens, "
        "not how often."
    ),
    gather=_gather,
    draw=draw_extremes,
    section="features",
)
