"""Makes the data sets that the comparisons of real photos read.

The comparisons do this themselves.
"""

from __future__ import annotations

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
        help="share of each Caltech class kept for val (default 0.2)",
    )


def run(*, names: Sequence[str], out: str, mirror: str | None, held_back: float) -> None:
    """Makes the data sets, or lists them."""
    from benchmarks.data.prepare.for_comparison import PREPARERS
    from pretrain.names import check_names

    if not names:
        _print_list()
        return
    check_names("data set:", names, ("caltech101", "camvid", "pacs"))
    for name in names:
        folder = Path(out) / name
        own = dict(held_back=held_back) if name == "caltech101" else {}
        PREPARERS[name](out=str(folder), mirror=mirror, **own)
        print(f"{name}: {folder}")


def _print_list() -> None:
    from benchmarks.data.prepare.originals import ORIGINALS

    for name, original in ORIGINALS.items():
        print(f"{name:<12}{original.title}")
        print(f"{'':<12}some {original.megabytes} MB from {original.url}")
        print(f"{'':<12}rights: {original.rights}")


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
