"""Rewrites labelled data in the layouts that mmsegmentation and mmdet read."""

from __future__ import annotations

from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """sets: scenes_segmentation, scenes_detection, camvid, bccd, coco100

examples:
  pixelpretext make-scenes data/scenes --images 3000 --size 96 --seed 0
  pixelpretext prepare-transfer data/transfer --sets scenes_segmentation scenes_detection
  PIXELPRETEXT_MIRROR=/data/mirror pixelpretext prepare-transfer data/transfer

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
        "--mirror",
        help="folder or URL of packed originals (default: $PIXELPRETEXT_MIRROR; without it they "
        "are downloaded from those who publish them)",
    )


def run(*, out: str, sets: list[str] | None, scenes: str, mirror: str | None) -> None:
    """Writes the data sets, and prints what each holds."""
    from rich.console import Console

    from benchmarks.data.prepare import SETS, prepare_sets
    from benchmarks.data.prepare.originals import mirror_of
    from pretrain.progress import Bars

    sets, mirror = sets or SETS, mirror_of(mirror)
    with Bars(Console(stderr=True)) as bars:
        contents = prepare_sets(sets, out, scenes=scenes, mirror=mirror, progress=bars.follow)
    for name, content in contents.items():
        print(f"{Path(out) / name}: {content}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
