"""Draws the geometry of a training config's views: positive pairs, or nested views and where they lie."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EPILOG = """examples:
  python tools/draw_pairs.py configs/quick/scenes64.py work_dirs/pairs.png --images 4 --grid 8
  python tools/draw_pairs.py configs/quick/cim_scenes64.py work_dirs/cim.png --group exemplar --images 2"""


def main() -> None:
    """Parses the arguments and draws."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="training config with source and views")
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("--images", type=int, default=3, help="rows (default 3)")
    parser.add_argument("--grid", type=int, default=7, help="cells per side of the feature map (default 7)")
    parser.add_argument("--group", default="global", help="view group (default global; exemplar for CIM)")
    parser.add_argument("--seed", type=int, default=0, help="chooses images and crops (default 0)")
    args = parser.parse_args()

    from mmengine.config import Config

    from benchmarks.pictures.from_config import draw_config_views

    if args.images < 1 or args.grid < 1:
        parser.error(f"--images {args.images} and --grid {args.grid} must be at least 1")
    grid = (args.grid, args.grid)
    try:
        config = Config.fromfile(args.config).to_dict()
        print(draw_config_views(config, args.out, count=args.images, seed=args.seed, group=args.group, grid=grid))
    except (ValueError, KeyError, FileNotFoundError) as error:
        sys.exit(f"error: {args.config}: {error}")


if __name__ == "__main__":
    main()
