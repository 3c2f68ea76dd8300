"""Draws the geometry of a config's views.

Positive pairs, or nested views and where they lie.
"""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext draw-pairs quick/scenes64 work_dirs/pairs.png --images 4 --grid 8
  pixelpretext draw-pairs quick/cim_scenes64 work_dirs/cim.png --group exemplar --images 2"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("config", help="training config with a source and views")
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("--images", type=int, default=3, help="rows (default 3)")
    parser.add_argument(
        "--grid", type=int, default=7, help="cells per side of the feature map (default 7)"
    )
    parser.add_argument(
        "--group", default="global", help="view group (default global; exemplar for CIM)"
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses images and crops (default 0)")


def run(*, config: str, out: str, images: int, grid: int, group: str, seed: int) -> None:
    """Draws, and prints where."""
    from benchmarks.report.pictures.from_config import draw_config_views
    from pretrain.engine.config_file import read_config
    from pretrain.files import require_writable

    if images < 1 or grid < 1:
        raise ValueError(f"--images {images} and --grid {grid} must be at least 1")
    require_writable(out, "out")
    views = read_config(config).to_dict()
    print(draw_config_views(views, out, count=images, seed=seed, group=group, grid=(grid, grid)))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
