"""The command ``tools/evaluate_upsampler.py``: from its arguments to records and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.core.commands import (
    RecordFile,
    choose_device,
    full_names,
    require_distinct,
    shorten,
)
from benchmarks.core.record import Record
from benchmarks.upsampling.consistency import (
    Arm,
    Photos,
    Settings,
    bilinear_of,
    load_arm,
    paired,
    run,
)
from benchmarks.weights.filling import weights_fingerprint
from pretrain.progress import Bars


@dataclass(frozen=True)
class Options:
    """What ``tools/evaluate_upsampler.py`` is asked for.

    Attributes:
        checkpoints: of ``tools/train_upsampler.py``. data: folders of images.
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
        records = _measure(arms, data, settings, written, title=folder, console=console)
        names = shorten([arm.spec for arm in arms], max(20, console.width // 3))
        console.print(table_of(records, arms, folder, short=names))
        for line in full_names(names):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
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
    settings: Settings,
    written: RecordFile,
    *,
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


def table_of(
    records: list[Record], arms: list[Arm], title: str, *, short: Mapping[str, str] | None = None
) -> Table:
    """A row per arm: every metric, and its mean difference from bilinear image by image with the 95
    % interval; below zero is better. ``short`` gives what to print for an arm's spec, where that is
    not the spec itself.
    """
    baseline = next(r for r, arm in zip(records, arms, strict=True) if arm.is_bilinear)
    count = len(baseline.counts["per_image"]["image"])
    title = (
        f"{title}: {count} images, difference from bilinear with its 95 % interval · "
        f"{baseline.protocol_hash}"
    )
    table = Table(title=title, caption=baseline.protocol_line)
    for name in ("upsampler", "uniform_unexplained % ↓", "uniform_mse ↓", "own_mse ↓", "own_nll ↓"):
        table.add_column(name, overflow="fold")
    for record in records:
        cells = [f"{record.metrics['uniform_unexplained'].value:.2f}"]
        for name in ("uniform_mse", "own_mse", "own_nll"):
            difference = None if record is baseline else paired(record, baseline, name)
            value = f"{record.metrics[name].value:.5f}" if name in record.metrics else ""
            cells.append(value if difference is None else f"{value} ({difference.text(5)})")
        spec = str(record.subject["spec"])
        table.add_row(escape((short or {}).get(spec, spec)), *cells)
    return table
