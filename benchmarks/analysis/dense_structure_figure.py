"""Networks in the plane of the two things that DSE adds up, checkpoints of a training joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.core.record import Record
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
from pretrain.specs import parse_spec


@dataclass(frozen=True)
class Trails:
    """One sheet.

    Attributes:
        records: name -> for each of its trainings the records in the order of images seen.
        styles: name -> its look.
    """

    records: Mapping[str, Sequence[Sequence[Record]]]
    styles: Mapping[str, Look]


def draw_trails(sheet: Trails, path: str | Path) -> Path:
    """Draws a line per training, its last checkpoint with a large marker.

    Args:
        sheet: what to draw.
        path: PNG or SVG to write.
    """
    figure = new_figure(4.8, 3.6)
    axes = figure.subplots()
    plain_axes(axes, x="dimension, M_dim", y="class part, M_inter − M_intra")
    for name, trails in sheet.records.items():
        look, group = sheet.styles[name], ARM + name
        for records in trails:
            x, y = (
                [record.metrics[part].value for record in records]
                for part in ("dimension", "class_part")
            )
            style = dict(color=look.colour, marker=look.marker, gid=group)
            axes.plot(x, y, linestyle=look.dash, linewidth=1.0, markersize=2.5, **style)
            axes.plot(x[-1:], y[-1:], markersize=7, **style)
    name_arms(figure, dict(sheet.styles))
    return save_figure(figure, path)


def _gather(sources: Sources) -> dict[str, Trails]:
    """A sheet for each protocol."""
    by_protocol: dict[str, dict[str, dict[str, list[Record]]]] = {}
    for arm, runs in sources.runs.items():
        for run in runs:
            if run.record.benchmark == "dense_structure":
                folder, names = _folder_of(str(run.record.subject["spec"])), by_protocol
                name = folder if arm == run.record.subject["spec"] else arm
                trails = names.setdefault(run.record.protocol_hash, {}).setdefault(name, {})
                trails.setdefault(folder, []).append(run.record)
    sheets = {}
    for protocol, names in by_protocol.items():
        ordered = {name: list(map(_in_order, own.values())) for name, own in names.items()}
        title = f"protocol {protocol}" if len(by_protocol) > 1 else ""
        sheets[title] = Trails(ordered, looks(ordered))
    return sheets


def _folder_of(spec: str) -> str:
    """The folder of a checkpoint, in which those of one training lie; else the spec."""
    source, _ = parse_spec(spec)
    return str(Path(source).parent) if Path(source).suffix else spec


def _in_order(records: Sequence[Record]) -> list[Record]:
    return sorted(records, key=lambda record: record.subject.get("samples_seen", 0))


FIGURE = Figure(
    name="dense_structure",
    title="Dense structure",
    caption=(
        "Class part and dimension of cells, which DSE adds up with a weight of its own for each "
        "training. A line joins the checkpoints of one training, the large marker is the last of "
        "them."
    ),
    gather=_gather,
    draw=draw_trails,
    section="results",
    form="svg",
)
