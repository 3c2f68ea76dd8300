"""Scales each weight tensor of a checkpoint back to the norm it began with, before a downstream
run.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/rescale.py work_dirs/random_labels_scenes64/final.pth --out rescaled.pth
  python tools/train.py CONFIG --cfg-options load_from=rescaled.pth       # train on from them
  python tools/evaluate.py rescaled.pth --benchmark retrieval --data scenes:data/scenes

w becomes w * ||w_init|| / ||w|| for every parameter tensor; the initial weights are drawn again from the checkpoint's
own config and seed. Buffers (running statistics) stay as they are, and so do tensors that are or began as all zeros."""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("rescale", __doc__, examples=EPILOG)
    parser.add_argument("checkpoint", help="final.pth or iter_N.pth of a run from scratch")
    parser.add_argument("--out", required=True, help="file to write (weights only)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Writes the file and says what changed."""
    from pretrain.rescale import rescale_checkpoint

    done = rescale_checkpoint(args.checkpoint, args.out)
    for change in done.versions:
        print(
            f"warning: {change} since the run: the initial weights drawn again may be others",
            file=sys.stderr,
        )
    print(f"{args.out}: {done}")


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
