"""Summarises evaluations of upsamplers on several networks.

Means with intervals and ranks, and differences from bilinear.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """example:
  for seed in 0 1 2; do
    pixelpretext evaluate work_dirs/pixcontrast_$seed/final.pth \\
        --benchmark probe --data camvid:data/camvid --set probe.size=192,256 \\
        --upsampler bicubic guided jbu:work_dirs/upsamplers/jbu_$seed/final.pth \\
        --out work_dirs/upsamplers.jsonl
  done
  pixelpretext pair-upsamplers work_dirs/upsamplers.jsonl --out work_dirs/upsamplers.md

The repetitions are the networks: 95 % intervals and ranks are over them, and over images where
records count these. Differences from bilinear are computed network by network."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "records", nargs="+", help="files of records, as pixelpretext evaluate --out writes them"
    )
    parser.add_argument("--out", help="Markdown file to write")


def run(*, records: list[str], out: str | None) -> None:
    """Reads records, prints and writes the tables."""
    from benchmarks.core.record import read_all
    from benchmarks.evaluate.paired import paired_tables
    from pretrain.files import atomic_write, require_writable

    if out is not None:
        require_writable(out, "--out")
    text = paired_tables([record for path in records for record in read_all(path)])
    print(text)
    if out is not None:
        atomic_write(Path(out), text)


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
