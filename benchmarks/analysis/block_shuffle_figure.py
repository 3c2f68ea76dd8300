"""Accuracy and optimisation speed against the size of shuffled blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks.core.record import Record
from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.figure import (
    ARM,
    INK,
    Look,
    looks,
    name_arms,
    new_figure,
    plain_axes,
    save_figure,
)

_PANELS = {"top1": "accuracy [%]", "speed": "optimisation speed [%]"}


@dataclass(frozen=True)
class Shuffles:
    """One sheet.

    Attributes:
        blocks: sizes, from the strongest shuffle to the weakest.
        records: arm -> block -> the records of its seeds.
        styles: arm -> its look.
        floor: accuracy of naming the largest class, in percent.
    """

    blocks: Sequence[int | str]
    records: Mapping[str, Mapping[int | str, Sequence[Record]]]
    styles: Mapping[str, Look]
    floor: float


def draw_shuffles(sheet: Shuffles, path: str | Path) -> Path:
    """Draws accuracy and speed side by side.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    figure = new_figure(7.0, 3.0)
    for axes, (metric, label) in zip(figure.subplots(1, 2), _PANELS.items(), strict=True):
        plain_axes(axes, title=label, x="side of the blocks in pixels")
        for arm, records in sheet.records.items():
            for prefix in ("", "random_"):
                look = sheet.styles[arm]
                _draw_line(axes, sheet.blocks, records, metric=prefix + metric, look=look, arm=arm)
        axes.set_xticks(range(len(sheet.blocks)), list(map(str, sheet.blocks)))
        axes.set_ylim(bottom=0)
        if metric == "top1":
            axes.axhline(sheet.floor, color=INK, linewidth=0.8, linestyle=(0, (1, 3)))
    name_arms(figure, {arm: sheet.styles[arm] for arm in sheet.records})
    return save_figure(figure, path)


def _draw_line(
    axes: Axes,
    blocks: Sequence[int | str],
    records: Mapping[int | str, Sequence[Record]],
    *,
    metric: str,
    look: Look,
    arm: str,
) -> None:
    """The mean over seeds, and a band from the lowest to the highest; hollow for a random start."""
    places = [place for place, block in enumerate(blocks) if block in records]
    values = []
    for place in places:
        own = [record.metrics[metric].value for record in records[blocks[place]]]
        values.append((np.mean(own), min(own), max(own)))
    mean, low, high = np.array(values).T
    group, random = ARM + arm, metric.startswith("random_")
    axes.fill_between(places, low, high, color=look.colour, alpha=0.15, lw=0, gid=group)
    axes.plot(
        places,
        mean,
        color=look.colour,
        linestyle=":" if random else look.dash,
        marker=look.marker,
        markerfacecolor="none" if random else look.colour,
        markersize=4.5,
        linewidth=1.4,
        gid=group,
    )


def _gather(sources: Sources) -> dict[str, Shuffles]:
    """A sheet for each protocol, blocks aside."""
    sheets: dict[str, dict] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            record = run.record
            if record.benchmark == "block_shuffle":
                arms = sheets.setdefault(_but_blocks(record), {})
                arms.setdefault(arm, {}).setdefault(record.protocol["block"], []).append(record)
    styles, made = looks(sources.arms or sources.runs), {}
    for arms in sheets.values():
        blocks = sorted({block for own in arms.values() for block in own}, key=_strength)
        first = _first(arms)
        title = ""
        if len(sheets) > 1:
            data = first.protocol["data"]
            title = f"{data['classes']} classes, {data['train_images']} training images"
            title += f" ({first.protocol_hash})" if title in made else ""
        made[title] = Shuffles(blocks, arms, styles, first.counts["largest_class"])
    return made


def _first(arms: Mapping[str, Mapping[int | str, Sequence[Record]]]) -> Record:
    """Any record: what it says of the data holds for all."""
    return next(iter(next(iter(arms.values())).values()))[0]


def _but_blocks(record: Record) -> str:
    """The protocol without the blocks, of which the hash of the recipe knows as well."""
    kept = {key: value for key, value in record.protocol.items() if key not in ("block", "recipe")}
    return json.dumps(kept, sort_keys=True)


def _strength(block: int | str) -> int:
    """Sorts ``"*"`` before a block of one pixel."""
    return 0 if block == "*" else int(block)


FIGURE = Figure(
    name="block_shuffle",
    title="Shuffled blocks",
    caption=(
        "Accuracy on shuffled images after fine-tuning, and optimisation speed (mean over epochs "
        "of the accuracy on training images), against the side of the blocks; * moves every "
        "single value, the largest size shuffles nothing. Filled: the pretrained network; hollow "
        "and dotted: the same architecture from a random start. Thin dots: naming the largest "
        "class. Mean over seeds, the band from the lowest to the highest."
    ),
    gather=_gather,
    draw=draw_shuffles,
    section="results",
    form="svg",
)
