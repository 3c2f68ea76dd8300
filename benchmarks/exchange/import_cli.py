"""The command ``tools/import.py``: from its arguments to a checkpoint and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.exchange.import_run import import_file
from benchmarks.exchange.layouts import LAYOUTS
from benchmarks.extractor import parse_spec


def run(args: argparse.Namespace) -> int:
    """Imports one file; returns the exit code, 2 for a mistake in the arguments or a file that does not fit."""
    console = Console()

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    if args.layouts:
        for layout in LAYOUTS:
            say(f"{layout.name}: {layout.source} ({layout.status})")
        say("featup: an upsampler of FeatUp, 2403.10516")
        return 0
    try:
        if args.file is None:
            raise ValueError("name the FILE to import")
        with console.status(f"reading {Path(args.file).name}"):  # one torch.load: there is no progress to count
            name, options = backbone_of(args.backbone)
            written = import_file(
                args.file, args.out, layout=args.layout, backbone=name, options=options, weights=args.weights
            )
    except (ValueError, FileNotFoundError) as error:
        say(f"import: {error}")
        return 2
    for line in written.lines:
        say(line)
    say(f"written: {written.path}")
    return 0


def backbone_of(spec: str | None) -> tuple[str | None, dict[str, Any]]:
    """Name and options of ``NAME?option=value&…``."""
    if spec is None:
        return None, {}
    name, options = parse_spec(f"timm:{spec}")
    return name.removeprefix("timm:"), options
