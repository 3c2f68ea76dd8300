"""Compares trained upsamplers of one backbone by their consistency on held-out images, bilinear
always beside.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/evaluate_upsampler.py work_dirs/upsamplers/jbu_0/final.pth --data data/photos/val
  python tools/evaluate_upsampler.py work_dirs/upsamplers/*_0/final.pth --data data/photos/val data/streets/val \\
      --size 96 --images 200

checkpoints: final.pth of tools/train_upsampler.py, all for one backbone; one of --upsampler bilinear lets the trained
  downsamplers be compared as well, otherwise bilinear has the uniform one alone
uniform_*: every upsampler with the same pooling, the mean over each cell; own_*: with the downsampler (and, for the
  likelihood, the uncertainty) trained beside it; lower is better
other benchmarks through an upsampler: python tools/evaluate.py"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("evaluate_upsampler", __doc__, examples=EPILOG)
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CHECKPOINT", help="of tools/train_upsampler.py"
    )
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="FOLDER", help="images not trained on"
    )
    parser.add_argument(
        "--size", type=int, default=224, help="side of the central crop in pixels (default: 224)"
    )
    parser.add_argument(
        "--images", type=int, help="this many, spread evenly over the folder (default: all)"
    )
    parser.add_argument("--jitters", type=int, default=4, help="per image (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="of the jitters (default: 0)")
    parser.add_device()
    parser.add_argument(
        "--out",
        default="work_dirs/evaluations.jsonl",
        help="records are appended to this file (default: %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Evaluates."""
    from benchmarks.upsampling.cli import Options, evaluate

    evaluate(Options(**vars(args)))


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
