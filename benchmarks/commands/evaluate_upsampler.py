"""Compares upsamplers of one backbone by their consistency on new images.

Bilinear is always among them.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext evaluate-upsampler work_dirs/upsamplers/jbu_0/final.pth --data data/photos/val
  pixelpretext evaluate-upsampler work_dirs/upsamplers/*_0/final.pth \\
      --data data/photos/val data/streets/val --size 96 --images 200

checkpoints: final.pth of pixelpretext train-upsampler, all for one backbone; add one trained with
  --upsampler bilinear to compare trained downsamplers as well, otherwise bilinear has only the
  uniform one
uniform_*: every upsampler with the same pooling, the mean over each cell; own_*: with the
  downsampler (and, for the likelihood, the uncertainty) trained with it; lower is better
other benchmarks of an upsampler: pixelpretext evaluate"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="final.pth of pixelpretext train-upsampler",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="FOLDER",
        help="folder of images that were not trained on",
    )
    parser.add_argument(
        "--size", type=int, default=224, help="side of the central crop in pixels (default: 224)"
    )
    parser.add_argument(
        "--images", type=int, help="use this many, spread evenly over the folder (default: all)"
    )
    parser.add_argument("--jitters", type=int, default=4, help="jitters per image (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the jitters (default: 0)")
    parser.add_device()
    parser.add_argument(
        "--out",
        default="work_dirs/evaluations.jsonl",
        help="file to which records are appended (default: %(default)s)",
    )


def run(**arguments: Any) -> None:
    """Evaluates."""
    from benchmarks.upsampling.cli import Options, evaluate

    evaluate(Options(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
