"""Fits planes of a network's features in which place is read.

Evaluation can remove them. One plane after the other, by a linear predictor of row and column, as
RASA does.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext fit-place timm:vit_small_patch14_dinov2 --data "voc:data/VOC2012?train=trainaug" \\
      --out planes.pth
  pixelpretext fit-place final.pth --data scenes:data/scenes --out planes.pth --set size=96,96
  pixelpretext evaluate "timm:vit_small_patch14_dinov2?without_place=planes.pth" \\
      --benchmark retrieval --data voc:data/VOC2012 --set retrieval.size=448,448

The train part of the data is shown; its labels are not read. The planes belong to the network and
to the features that were read, at any input size. without_place=black:20 needs no fit: it takes the
20 strongest directions in which the cells of a black image differ, as INSID3 does."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("network", help="CHECKPOINT, timm:NAME or random:NAME, as for evaluate")
    parser.add_argument(
        "--data", required=True, metavar="LAYOUT:ROOT", help="images with masks, as for evaluate"
    )
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument(
        "--set",
        dest="settings",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="size, rounds, epochs, batch_size, learning_rate, weight_decay, seed",
    )
    parser.add_weights()
    parser.add_device()


def run(**arguments: Any) -> None:
    """Fits, and prints what was written."""
    from benchmarks.evaluate.fit_place import fit_place

    print(fit_place(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
