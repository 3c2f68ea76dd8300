"""Makes data sets, or says what you have to fetch and what is missing.

The comparisons of real photos make theirs by themselves; those of presets are fetched by you.
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
  pixelpretext prepare-data spair --out data     what to fetch into data/spair, or what it lacks

A download that was interrupted goes on; data that already exist are left alone. docs/data.md,
"Photos for the comparisons", says what is written and how to make a mirror for machines without a
network."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="such as camvid or spair; none: list them"
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
    from benchmarks.data.prepare.fetched import FETCHED, check_fetched
    from benchmarks.data.prepare.for_comparison import PUBLISHED
    from pretrain.names import check_names

    if not names:
        _print_list()
        return
    check_names("data set:", names, (*PUBLISHED, *FETCHED))
    if mirror is not None and not PUBLISHED.keys() & set(names):
        raise ValueError(
            f"--mirror {mirror}: nothing is taken from it, as {', '.join(names)} must be fetched "
            "by you; leave it out"
        )
    for name in names:
        folder = Path(out) / name
        if name in FETCHED:
            counts = check_fetched(name, folder)
            found = ", ".join(f"{number:,} {word}" for word, number in counts.items())
            known = ", as published" if FETCHED[name].counts else ""
            print(f"{name}: {folder}: {found}{known}; for evaluate: --data {name}:{folder}")
            continue
        prepare = PUBLISHED[name]
        splits = "held_back" in inspect.signature(prepare).parameters
        options = {"held_back": held_back} if splits else {}
        prepare(out=str(folder), mirror=mirror, **options)
        print(f"{name}: {folder}")


def _print_list() -> None:
    from benchmarks.data.prepare.fetched import FETCHED
    from benchmarks.data.prepare.for_comparison import PUBLISHED
    from benchmarks.data.prepare.originals import ORIGINALS

    print("made by this command:")
    for name in PUBLISHED:
        original = ORIGINALS[name]
        _print_entry(name, original.title, f"some {original.megabytes} MB from {original.url}")
        _print_entry("", f"rights: {original.rights}")
    print("fetched by you, then checked by this command:")
    for name, own in FETCHED.items():
        published = ", ".join(f"{number:,} {word}" for word, number in own.counts.items())
        _print_entry(name, *filter(None, (published, own.unpack, f"from {own.page}")))
        _print_entry("", f"rights: {own.rights}")


def _print_entry(name: str, *lines: str) -> None:
    for number, line in enumerate(lines):
        print(f"  {'' if number else name:<20}{line}")


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
