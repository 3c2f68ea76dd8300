"""Unpacks the real photos that configs/comparisons/real.py uses (the comparison does it by itself)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """example: PIXELPRETEXT_SHARED=/data/shared python tools/unpack_shared.py data/real

The archives are not part of this repository; each holds one folder of its own name:
  pretrain_caltech101_s128.tar  <class>/*.jpg: Caltech-101, shorter side resized to 128 px
  seg_camvid.tar                train, trainannot, val, valannot: CamVid with 11 classes, as docs/data.md says"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("unpack_shared", __doc__, examples=EPILOG)
    parser.add_argument("out", help="folder to make")
    parser.add_argument(
        "--archives", help="folder of the .tar files (default: data/ in $PIXELPRETEXT_SHARED)"
    )
    parser.add_argument(
        "--held-back",
        type=float,
        default=0.2,
        help="share of each Caltech class kept for val (default 0.2)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Unpacks."""
    from benchmarks.data.prepare.for_comparison import prepare_real

    prepare_real(out=args.out, archives=args.archives, held_back=args.held_back)


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
