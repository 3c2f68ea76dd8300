"""Scales a checkpoint's weights back to their initial norms.

Tensor by tensor, before a downstream run.
"""

from __future__ import annotations

import sys

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext rescale work_dirs/random_labels_scenes64/final.pth --out rescaled.pth
  pixelpretext rescale final.pth --without-heads --out start.pth
  pixelpretext train CONFIG --cfg-options load_from=start.pth          # train from them
  pixelpretext evaluate rescaled.pth --benchmark retrieval --data scenes:data/scenes

w becomes w * ||w_init|| / ||w|| for every parameter tensor; the initial weights are drawn again
from the checkpoint's own config and seed. Buffers (running statistics) stay as they are, and so do
tensors that are or began as all zeros. With --without-heads the file holds no classifier or
projector, so that the next training draws its own."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("checkpoint", help="final.pth or iter_N.pth of a run from scratch")
    parser.add_argument("--out", required=True, help="file to write (weights only)")
    parser.add_argument(
        "--without-heads",
        action="store_true",
        help="leave out the objectives' own weights, such as a classifier",
    )


def run(*, checkpoint: str, out: str, without_heads: bool) -> None:
    """Writes the file, and prints what changed."""
    from pretrain.rescale import rescale_checkpoint

    summary = rescale_checkpoint(checkpoint, out, without_heads=without_heads)
    for change in summary.versions:
        print(
            f"warning: {change} since the run: the initial weights drawn again may differ",
            file=sys.stderr,
        )
    print(f"{out}: {summary}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
