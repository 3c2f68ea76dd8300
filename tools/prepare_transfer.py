"""Rewrites labelled data in the layouts that mmsegmentation and mmdet read, for tools/transfer.py."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """sets: scenes_segmentation, scenes_detection, camvid, bccd, coco100

examples:
  python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
  python tools/prepare_transfer.py data/transfer --sets scenes_segmentation scenes_detection
  PIXELPRETEXT_SHARED=/data/shared python tools/prepare_transfer.py data/transfer

Sets that are there already are left alone. What is written: docs/data.md, "Data for transfer"."""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("prepare_transfer", __doc__, examples=EPILOG)
    parser.add_argument("out", help="folder to write one folder per set into")
    parser.add_argument(
        "--sets", nargs="+", metavar="SET", help="which of those below (default: all)"
    )
    parser.add_argument(
        "--scenes",
        default="data/scenes",
        help="what tools/make_scenes.py wrote (default data/scenes)",
    )
    parser.add_argument(
        "--archives", help="folder of the .tar files (default: data/ in $PIXELPRETEXT_SHARED)"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Writes the data sets and says what each holds."""
    from rich.console import Console

    from benchmarks.data.prepare import SETS, prepare_sets
    from benchmarks.data.prepare.for_comparison import shared_folder
    from pretrain.progress import Bars

    archives = args.archives or shared_folder()
    with Bars(Console(stderr=True)) as bars:
        done = prepare_sets(
            args.sets or SETS,
            args.out,
            scenes=args.scenes,
            archives=archives,
            progress=bars.follow,
        )
    for name, words in done.items():
        print(f"{Path(args.out) / name}: {words}")


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
