"""Writes the embedded data set "scenes" (see docs/scenes.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """example:
  python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0 --workers 2     what configs/quick reads

Run again after an interruption, it writes only what is missing. Layouts and labels: docs/scenes.md."""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    words = (
        'Draws the data set "scenes": no network, the same bytes for the same seed and library '
        "versions."
    )
    parser = CommandLine("make_scenes", words, examples=EPILOG)
    parser.add_argument("out", type=Path, help="folder of the data set; made if missing")
    parser.add_argument(
        "--images", type=int, default=1000, help="images over both splits, 4:1 (default 1000)"
    )
    parser.add_argument(
        "--size", type=int, default=96, help="side of the images in pixels (default 96)"
    )
    parser.add_argument("--seed", type=int, default=0, help="0 or larger (default 0)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument(
        "--sequences", type=int, default=10, help="sequences over both splits, 4:1 (default 10)"
    )
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="also write a picture of the first 24 images"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Writes the data set and says what can be done with it."""
    from pretrain.data.scenes import write_scenes, write_sheet

    write_scenes(
        args.out,
        args.images,
        size=args.size,
        seed=args.seed,
        workers=args.workers,
        sequences=args.sequences,
    )
    if args.sheet:
        write_sheet(args.out, args.sheet)
        print(f"sheet      {args.sheet}")
    print(f"contents   {args.out}/scenes.json (what each folder holds: docs/scenes.md)")
    print(f"check      cd {args.out} && sha256sum --quiet -c SHA256SUMS")
    print("next       python tools/compare.py configs/comparisons/quickstart.py")


if __name__ == "__main__":
    sys.exit(main(run, command_line(), interrupted="interrupted; the same command again goes on"))
