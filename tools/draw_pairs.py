"""Draws the geometry of a training config's views: positive pairs, or nested views and where they
lie.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/draw_pairs.py configs/quick/scenes64.py work_dirs/pairs.png --images 4 --grid 8
  python tools/draw_pairs.py configs/quick/cim_scenes64.py work_dirs/cim.png --group exemplar --images 2"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("draw_pairs", __doc__, examples=EPILOG)
    parser.add_argument("config", help="training config with source and views")
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("--images", type=int, default=3, help="rows (default 3)")
    parser.add_argument(
        "--grid", type=int, default=7, help="cells per side of the feature map (default 7)"
    )
    parser.add_argument(
        "--group", default="global", help="view group (default global; exemplar for CIM)"
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses images and crops (default 0)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Draws and says where."""
    from benchmarks.report.pictures.from_config import draw_config_views
    from pretrain.engine.config_file import read_config
    from pretrain.files import require_writable

    if args.images < 1 or args.grid < 1:
        raise ValueError(f"--images {args.images} and --grid {args.grid} must be at least 1")
    require_writable(args.out, "out")
    config, grid = read_config(args.config).to_dict(), (args.grid, args.grid)
    print(
        draw_config_views(
            config, args.out, count=args.images, seed=args.seed, group=args.group, grid=grid
        )
    )


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
