"""Measures how well a network trained with CIM finds exemplars in held-out images."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """example:
  python tools/evaluate_cim.py work_dirs/cim_scenes64/final.pth --images data/scenes/images/val

The checkpoint's own views, one draw per image, no training. Below the network's numbers stand those of two answers
without looking: "prior" knows the mean foreground rate, "position" where exemplars lie on average."""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("evaluate_cim", __doc__, examples=EPILOG)
    parser.add_argument(
        "checkpoint", help="final.pth or iter_N.pth of a training with the objective CIM"
    )
    parser.add_argument("--images", required=True, help="folder of images, at any depth")
    parser.add_argument(
        "--limit", type=int, default=256, help="images at most, the first by path (default 256)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the views (default 0)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, … (default cpu)")
    return parser


def run(args: argparse.Namespace) -> None:
    """Prints three lines below a heading."""
    from benchmarks.core.commands import choose_device
    from benchmarks.evaluate.cim import localise

    device = choose_device(args.device)
    found = localise(args.checkpoint, args.images, limit=args.limit, seed=args.seed, device=device)
    print(
        f"{found.images} images, {found.exemplars} exemplars each, foreground "
        f"{found.foreground:.3f}"
    )
    rows = [("network", found.iou, found.loss), ("prior", 0.0, found.prior)]
    for name, iou, loss in [*rows, ("position", found.position_iou, found.position)]:
        print(f"{name:<10} IoU {100 * iou:5.1f} %   loss {loss:.4f}")


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
