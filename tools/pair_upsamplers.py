"""Summarises evaluations of upsamplers on several networks: means with intervals, differences to bilinear."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EPILOG = """example:
  for seed in 0 1 2; do
    python tools/evaluate.py work_dirs/pixcontrast_$seed/final.pth --benchmark probe --data camvid:data/camvid \\
        --set probe.size=192,256 --out work_dirs/upsamplers.jsonl \\
        --upsampler bicubic guided jbu:work_dirs/upsamplers/jbu_$seed/final.pth
  done
  python tools/pair_upsamplers.py work_dirs/upsamplers.jsonl --out docs/results/upsamplers.md

Networks are the repetitions: 95 % t-intervals over them. Differences to bilinear are taken network by network."""


def main() -> None:
    """Reads records, prints and writes the tables; a mistake is one sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", nargs="+", help="files of records, as tools/evaluate.py --out writes them")
    parser.add_argument("--out", help="Markdown file to write")
    args = parser.parse_args()

    from benchmarks.paired import paired_tables
    from benchmarks.record import read_all
    from pretrain.files import atomic_write

    try:
        text = paired_tables([record for path in args.records for record in read_all(path)])
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"pair_upsamplers: {error}")
    print(text)
    if args.out:
        atomic_write(Path(args.out), text)


if __name__ == "__main__":
    main()
