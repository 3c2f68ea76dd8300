"""Rewrites labelled data in the layouts that mmsegmentation and mmdet read."""

from __future__ import annotations

from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """sets: scenes_segmentation, scenes_detection, camvid, bccd, coco100

examples:
  pixelpretext make-scenes data/scenes --images 3000 --size 96 --seed 0
  pixelpretext prepare-transfer data/transfer --sets scenes_segmentation scenes_detection
  PIXELPRETEXT_SHARED=/data/shared pixelpretext prepare-transfer data/transfer

Sets that already exist are left alone. docs/data.md, "Data for transfer", says what is written."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("out", help="folder to write one folder per set into")
    parser.add_argument(
        "--sets", nargs="+", metavar="SET", help="which of the sets below (default: all)"
    )
    parser.add_argument(
        "--scenes",
        default="data/scenes",
        help="what pixelpretext make-scenes wrote (default data/scenes)",
    )
    parser.add_argument(
        "--archives", help="folder of the .tar files (default: data/ in $PIXELPRETEXT_SHARED)"
    )


def run(*, out: str, sets: list[str] | None, scenes: str, archives: str | None) -> None:
    """Writes the data sets, and prints what each holds."""
    from rich.console import Console

    from benchmarks.data.prepare import SETS, prepare_sets
    from benchmarks.data.prepare.for_comparison import shared_folder
    from pretrain.progress import Bars

    sets, archives = sets or SETS, archives or shared_folder()
    with Bars(Console(stderr=True)) as bars:
        contents = prepare_sets(sets, out, scenes=scenes, archives=archives, progress=bars.follow)
    for name, content in contents.items():
        print(f"{Path(out) / name}: {content}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
