"""Measures how well a network trained with CIM finds exemplars in new images."""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """example:
  pixelpretext evaluate-cim work_dirs/cim_scenes64/final.pth --images data/scenes/images/val

It uses the checkpoint's own views, one draw per image, and trains nothing. Below the network's
numbers are those of two answers without looking: "prior" knows the mean foreground rate, "position"
knows where exemplars lie on average."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "checkpoint", help="final.pth or iter_N.pth of a training with the objective CIM"
    )
    parser.add_argument("--images", required=True, help="folder of images, at any depth")
    parser.add_argument(
        "--limit",
        type=int,
        default=256,
        help="use at most this many images, the first by path (default 256)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the views (default 0)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, … (default cpu)")


def run(*, checkpoint: str, images: str, limit: int, seed: int, device: str) -> None:
    """Prints three lines below a heading."""
    from benchmarks.core.commands import choose_device
    from benchmarks.evaluate.cim import localise

    score = localise(checkpoint, images, limit=limit, seed=seed, device=choose_device(device))
    print(
        f"{score.images} images, {score.exemplars} exemplars each, foreground "
        f"{score.foreground:.3f}"
    )
    rows = [("network", score.iou, score.loss), ("prior", 0.0, score.prior)]
    for name, iou, loss in [*rows, ("position", score.position_iou, score.position)]:
        print(f"{name:<10} IoU {100 * iou:5.1f} %   loss {loss:.4f}")


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
