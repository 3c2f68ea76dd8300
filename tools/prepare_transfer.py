"""Rewrites labelled data in the layouts that mmsegmentation and mmdet read, for tools/transfer.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


EPILOG = """sets: scenes_segmentation, scenes_detection, camvid, bccd, coco100

examples:
  python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0
  python tools/prepare_transfer.py data/transfer --sets scenes_segmentation scenes_detection
  PIXELPRETEXT_SHARED=/data/shared python tools/prepare_transfer.py data/transfer

Sets that are there already are left alone. What is written: docs/data.md, "Data for transfer"."""


def main() -> None:
    """Parses the arguments and writes the data sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", help="folder to write one folder per set into")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="which of those below (default: all)")
    parser.add_argument("--scenes", default="data/scenes", help="what tools/make_scenes.py wrote (default data/scenes)")
    parser.add_argument("--archives", help="folder of the .tar files (default: data/ in $PIXELPRETEXT_SHARED)")
    args = parser.parse_args()

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from benchmarks.compare.prepare import shared_folder
    from benchmarks.transfer_data import SETS, prepare_sets

    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def bar(name: str) -> Callable[[int, int], None]:
            task = bars.add_task(name, total=None)
            return lambda done, total: bars.update(task, completed=done, total=total)

        try:
            done = prepare_sets(
                args.sets or tuple(SETS), args.out, scenes=args.scenes, archives=args.archives or shared_folder(),
                progress=bar,
            )  # fmt: skip
        except (ValueError, FileNotFoundError) as error:
            sys.exit(f"error: {error}")
    for name, words in done.items():
        console.print(f"{Path(args.out) / name}: {words}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    main()
