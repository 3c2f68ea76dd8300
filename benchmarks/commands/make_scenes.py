"""Draws the data set "scenes".

The same seed and library versions give the same bytes; no network needed.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.command_line import Command, CommandLine, as_typed

EXAMPLES = """example:
  pixelpretext make-scenes data/scenes --images 3000 --size 96 --seed 0     what quick/* reads
  pixelpretext make-scenes data/factors --images 5 --size 96 --factors 10   for invariances

If you run it again after an interruption, it writes only what is missing. docs/scenes.md describes
layouts and labels."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("out", type=Path, help="folder of the data set; made if missing")
    parser.add_argument(
        "--images",
        type=int,
        default=1000,
        help="images in both splits together, 4:1 (default 1000)",
    )
    parser.add_argument(
        "--size", type=int, default=96, help="side of the images in pixels (default 96)"
    )
    parser.add_argument("--seed", type=int, default=0, help="0 or larger (default 0)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument(
        "--sequences",
        type=int,
        default=10,
        help="sequences in both splits together, 4:1 (default 10)",
    )
    parser.add_argument(
        "--factors",
        type=int,
        default=0,
        help="sets of each class in which one factor varies, and of each factor, for the benchmark "
        "invariances (default 0)",
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="also write a picture of the first 24 images"
    )


def run(
    *,
    out: Path,
    images: int,
    size: int,
    seed: int,
    workers: int,
    sequences: int,
    factors: int,
    sheet: Path | None,
) -> None:
    """Writes the data set, and prints what can be done with it."""
    from pretrain.data.scenes import write_scenes, write_sheet

    write_scenes(
        out,
        images,
        size=size,
        seed=seed,
        workers=workers,
        sequences=sequences,
        factors=factors,
    )
    if sheet:
        write_sheet(out, sheet)
        print(f"sheet      {sheet}")
    print(f"contents   {out}/scenes.json (what each folder holds: docs/scenes.md)")
    print(f"check      cd {out} && sha256sum --quiet -c SHA256SUMS")
    print(as_typed("next       pixelpretext compare comparisons/quickstart"))


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
