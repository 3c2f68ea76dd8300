"""Makes the data sets that the comparisons of real photos read.

The comparisons do this themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext prepare-data                                 what there is: size, source and rights
  pixelpretext prepare-data caltech101 camvid --out data/real     what comparisons/real reads
  PIXELPRETEXT_MIRROR=/data/mirror pixelpretext prepare-data camvid --out data/real

A download that was interrupted goes on; data that already exist are left alone. docs/data.md,
"Photos for the comparisons", says what is written and how to make a mirror for machines without a
network."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="caltech101, camvid, pacs; none: list them"
    )
    parser.add_argument(
        "--out", default="data/real", help="folder to write one folder per name into (data/real)"
    )
    parser.add_argument(
        "--mirror",
        help="folder or URL of packed originals (default: $PIXELPRETEXT_MIRROR; without it they "
        "are downloaded from those who publish them)",
    )
    parser.add_argument(
        "--held-back",
        type=float,
        default=0.2,
        help="share of each class kept for val, of sets that have no such part (default 0.2)",
    )


def run(*, names: Sequence[str], out: str, mirror: str | None, held_back: float) -> None:
    """Makes the data sets, or lists them."""
    from benchmarks.data.prepare.for_comparison import PUBLISHED
    from pretrain.names import check_names

    if not names:
        _print_list()
        return
    check_names("data set:", names, PUBLISHED)
    for name in names:
        folder, prepare = Path(out) / name, PUBLISHED[name]
        splits = "held_back" in inspect.signature(prepare).parameters
        options = {"held_back": held_back} if splits else {}
        prepare(out=str(folder), mirror=mirror, **options)
        print(f"{name}: {folder}")


def _print_list() -> None:
    from benchmarks.data.prepare.for_comparison import PUBLISHED
    from benchmarks.data.prepare.originals import ORIGINALS

    for name in PUBLISHED:
        original = ORIGINALS[name]
        print(f"{name:<12}{original.title}")
        print(f"{'':<12}some {original.megabytes} MB from {original.url}")
        print(f"{'':<12}rights: {original.rights}")


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
