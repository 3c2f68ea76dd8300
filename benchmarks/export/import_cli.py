"""The command ``pixelpretext import``: from its arguments to a checkpoint and a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.core.extractor import parse_spec
from benchmarks.export.import_run import import_file
from benchmarks.weights.layouts import LAYOUTS
from pretrain.files import require_writable


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext import`` is asked for.

    Attributes:
        file: checkpoint on disk; needed unless ``layouts``. layout: of the file, ``auto``:
            recognise it.
        backbone: ``NAME?options``; None: inferred from shapes. weights: the only network to take;
            None: all.
        out: where to; None: a name after the file's. layouts: list the layouts instead.
    """

    file: str | None = None
    layout: str = "auto"
    backbone: str | None = None
    weights: str | None = None
    out: str | None = None
    layouts: bool = False


def import_checkpoint(options: Options) -> None:
    """Imports one file and prints the report.

    Raises:
        ValueError, OSError: a mistake in the options, or a file that does not fit.
    """
    console = Console()

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if options.layouts:
        for layout in LAYOUTS:
            say(f"{layout.name}: {layout.source} ({layout.status})")
        say("featup: an upsampler of FeatUp, 2403.10516")
        return
    if options.file is None:
        raise ValueError("name the FILE to import")
    if options.out is None:
        require_writable("work_dirs/imported", "the folder of imported files", folder=True)
    else:
        require_writable(options.out, "--out")
    name, network = backbone_of(options.backbone)
    with console.status(
        f"reading {Path(options.file).name}"
    ):  # one torch.load: there is no progress to count
        written = import_file(
            options.file,
            options.out,
            layout=options.layout,
            backbone=name,
            options=network,
            weights=options.weights,
        )
    for line in written.lines:
        say(line)
    say(f"written: {written.path}")


def backbone_of(spec: str | None) -> tuple[str | None, dict[str, Any]]:
    """Name and options of ``NAME?option=value&…``."""
    if spec is None:
        return None, {}
    name, options = parse_spec(f"timm:{spec}")
    return name.removeprefix("timm:"), options
