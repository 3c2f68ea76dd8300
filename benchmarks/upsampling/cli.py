"""The command ``pixelpretext evaluate-upsampler``: from its arguments to records and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from benchmarks.core.commands import RecordFile, choose_device, require_distinct
from benchmarks.core.record import Record
from benchmarks.report.renderers import print_tables
from benchmarks.report.runs import Run
from benchmarks.report.statistics import IMAGE_DIFFERENCE
from benchmarks.report.table import Column, Entry, Table, build
from benchmarks.upsampling.consistency import (
    Arm,
    Photos,
    Settings,
    bilinear_of,
    load_arm,
    run,
)
from pretrain.progress import Bars
from pretrain.weights.filling import weights_fingerprint

UPSAMPLER = Column("upsampler", is_text=True)


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext evaluate-upsampler`` is asked for.

    Attributes:
        checkpoints: of ``pixelpretext train-upsampler``. data: folders of images.
        size: side of the central crop in pixels. images: how many of a folder; None: all.
        jitters: per image. seed: of the jitters. device: None: cuda where it is. out: file of
            records.
    """

    checkpoints: Sequence[str]
    data: Sequence[str]
    size: int = 224
    images: int | None = None
    jitters: int = 4
    seed: int = 0
    device: str | None = None
    out: str = "work_dirs/evaluations.jsonl"


def evaluate(options: Options) -> None:
    """Measures every checkpoint on every folder.

    Raises:
        ValueError, OSError: a mistake in the options or the data. Records made before it are kept.
    """
    console = Console()
    settings = Settings(
        size=options.size,
        images=options.images,
        jitters=options.jitters,
        pad=max(1, round(options.size * 20 / 224)),
        seed=options.seed,
    )
    written = RecordFile(options.out, console)
    require_distinct(options.checkpoints, "checkpoint")
    require_distinct(options.data, "--data")
    folders = [Photos(folder) for folder in options.data]
    arms = load_arms(options.checkpoints, choose_device(options.device))
    for folder, data in zip(options.data, folders, strict=True):
        records = _measure(
            arms, data, settings=settings, written=written, title=folder, console=console
        )
        table = consistency_table(records, arms, folder).transposed("metric")
        width = max(12, console.width // (1 + len(arms)) - 4)
        print_tables([table], console, names=[arm.spec for arm in arms], width=width)
    written.summarise()
    written.require_whole()


def load_arms(paths: Sequence[str], device: str) -> list[Arm]:
    """Loads checkpoints; bilinear without training is added where none of them is the baseline.

    Raises:
        ValueError: upsamplers of different backbones, or of raw and of normalised features.
    """
    arms = [load_arm(path, device) for path in paths]
    backbones = {weights_fingerprint(arm.trainer.backbone): arm.spec for arm in arms}
    if len(backbones) > 1:
        raise ValueError(
            "upsamplers of different backbones have different units: "
            f"{', '.join(backbones.values())}"
        )
    normalised = [arm.spec for arm in arms if arm.normalises]
    if 0 < len(normalised) < len(arms):
        raise ValueError(
            f"{', '.join(normalised)} normalises features first (norm=True), the others do not: "
            "residuals have different units; measure them in two calls"
        )
    return arms if any(arm.is_bilinear for arm in arms) else [bilinear_of(arms[0]), *arms]


def _measure(
    arms: list[Arm],
    data: Photos,
    *,
    settings: Settings,
    written: RecordFile,
    title: str,
    console: Console,
) -> list[Record]:
    records = []
    with Bars(console) as bars:
        for arm in arms:
            with bars.bar(f"{title} {arm.spec}") as progress:
                records.append(run(arm, data, settings, progress=progress))
            written.append(records[-1])
    return records


def consistency_table(records: Sequence[Record], arms: Sequence[Arm], folder: str) -> Table:
    """A row per arm: every metric, and its mean difference from bilinear image by image with the
    95 % interval; below zero is better.

    Args:
        records: of one protocol, one per arm.
        arms: what was measured; one is bilinear.
        folder: of the images.
    """
    names = [str(record.subject["spec"]) for record in records]
    entries = []
    for name, record in zip(names, records, strict=True):
        entries.append(Entry(name, [Run(record, name)], {UPSAMPLER.name: name}))
    reference = next(name for name, arm in zip(names, arms, strict=True) if arm.is_bilinear)
    images = len(records[0].counts["per_image"]["image"])
    metrics = dict.fromkeys(name for record in records for name in record.metrics)
    return build(
        entries,
        title=f"{folder}: {images} images · {records[0].protocol_hash}",
        caption=records[0].protocol_line,
        before=(UPSAMPLER,),
        digits={name: 2 if name == "uniform_unexplained" else 5 for name in metrics},
        statistics=(IMAGE_DIFFERENCE,),
        references=(reference,),
    )
