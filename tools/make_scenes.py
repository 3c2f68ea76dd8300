"""Writes the embedded data set "scenes" (see docs/scenes.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.data.scenes import write_scenes, write_sheet  # noqa: E402

EPILOG = """example:
  python tools/make_scenes.py data/scenes --images 3000 --size 96 --seed 0 --workers 2     what configs/quick reads

Run again after an interruption, it writes only what is missing. Layouts and labels: docs/scenes.md."""


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description='Draws the data set "scenes": no network, the same bytes for the same seed and library versions.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("out", type=Path, help="folder of the data set; made if missing")
    parser.add_argument("--images", type=int, default=1000, help="images over both splits, 4:1 (default 1000)")
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (default 96)")
    parser.add_argument("--seed", type=int, default=0, help="0 or larger (default 0)")
    parser.add_argument("--workers", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--sequences", type=int, default=10, help="sequences over both splits, 4:1 (default 10)")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="also write a picture of the first 24 images")
    return parser.parse_args()


def main() -> int:
    """Writes the data set and says what can be done with it."""
    given = parse_arguments()
    try:
        write_scenes(
            given.out,
            given.images,
            size=given.size,
            seed=given.seed,
            workers=given.workers,
            sequences=given.sequences,
        )
        if given.sheet:
            write_sheet(given.out, given.sheet)
            print(f"sheet      {given.sheet}")
    except (ValueError, FileExistsError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    print(f"contents   {given.out}/scenes.json (what each folder holds: docs/scenes.md)")
    print(f"check      cd {given.out} && sha256sum --quiet -c SHA256SUMS")
    print("next       python tools/compare.py configs/comparisons/quickstart.py")
    return 0


if __name__ == "__main__":
    sys.exit(main())
