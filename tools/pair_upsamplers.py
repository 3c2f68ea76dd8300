"""Summarises evaluations of upsamplers on several networks: means with intervals, differences to
bilinear.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """example:
  for seed in 0 1 2; do
    python tools/evaluate.py work_dirs/pixcontrast_$seed/final.pth --benchmark probe --data camvid:data/camvid \\
        --set probe.size=192,256 --out work_dirs/upsamplers.jsonl \\
        --upsampler bicubic guided jbu:work_dirs/upsamplers/jbu_$seed/final.pth
  done
  python tools/pair_upsamplers.py work_dirs/upsamplers.jsonl --out docs/results/upsamplers.md

Networks are the repetitions: 95 % t-intervals over them. Differences to bilinear are taken network by network."""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("pair_upsamplers", __doc__, examples=EPILOG)
    parser.add_argument(
        "records", nargs="+", help="files of records, as tools/evaluate.py --out writes them"
    )
    parser.add_argument("--out", help="Markdown file to write")
    return parser


def run(args: argparse.Namespace) -> None:
    """Reads records, prints and writes the tables."""
    from benchmarks.core.record import read_all
    from benchmarks.evaluate.paired import paired_tables
    from pretrain.files import atomic_write, require_writable

    if args.out is not None:
        require_writable(args.out, "--out")
    text = paired_tables([record for path in args.records for record in read_all(path)])
    print(text)
    if args.out:
        atomic_write(Path(args.out), text)


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
