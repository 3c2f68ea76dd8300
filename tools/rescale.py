"""Scales each weight tensor of a checkpoint back to the norm it began with, before a downstream run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EPILOG = """examples:
  python tools/rescale.py work_dirs/random_labels_scenes64/final.pth --out rescaled.pth
  python tools/train.py CONFIG --cfg-options load_from=rescaled.pth       # train on from them
  python tools/evaluate.py rescaled.pth --benchmark retrieval --data scenes:data/scenes

w becomes w * ||w_init|| / ||w|| for every parameter tensor; the initial weights are drawn again from the checkpoint's
own config and seed. Buffers (running statistics) stay as they are, and so do tensors that are or began as all zeros."""


def main() -> None:
    """Parses the arguments and writes the file; a mistake is one sentence, not a traceback."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="final.pth or iter_N.pth of a run from scratch")
    parser.add_argument("--out", required=True, help="file to write (weights only)")
    args = parser.parse_args()

    from pretrain.engine.rescale import rescale_checkpoint

    try:
        done = rescale_checkpoint(args.checkpoint, args.out)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
    for change in done.versions:
        print(f"warning: {change} since the run: the initial weights drawn again may be others", file=sys.stderr)
    print(f"{args.out}: {done}")


if __name__ == "__main__":
    main()
