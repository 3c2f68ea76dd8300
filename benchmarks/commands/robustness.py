"""Measures a classifier on corrupted and shifted images.

On ImageNet-A, -R, -Sketch or -C, or with corruptions of any class folder.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext robustness work_dirs/finetune/pixpro_0/final.pth --data corrupted:data/flowers
  pixelpretext robustness a/final.pth b/final.pth --data corrupted:data/flowers --severities 3 \\
      --reference a.jsonl
  pixelpretext robustness final.pth --data imagenet-a:data/imagenet-a imagenet-r:data/imagenet-r \\
      imagenet-sketch:data/sketch imagenet-c:data/imagenet-c
  pixelpretext robustness --sheet photo.jpg --out sheet.png
  pixelpretext robustness --speed

classifiers: checkpoints of pixelpretext finetune
data: KIND:ROOT[?option=value&…]
  corrupted        class folders, corrupted on the fly; the validation part, ?part=all for
                   everything; ?every=N
  imagenet-a, -r   ROOT/<WordNet id>/<image>, 200 classes; only these compete
  imagenet-sketch  ROOT/<WordNet id>/<image>, 1000 classes
  imagenet-c       ROOT/<corruption>/<severity>/<WordNet id>/<image>
  ?partial=True takes an ImageNet set with fewer classes
Only imagenet-c has an mCE in units of AlexNet; docs/robustness.md says why, and what numbers
on images corrupted here compare with."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("classifiers", nargs="*", help="checkpoints of a fine-tuning")
    parser.add_argument("--data", nargs="+", default=[], metavar="KIND:ROOT", help="see below")
    parser.add_argument("--corruptions", nargs="+", metavar="NAME", help="default: all 15")
    parser.add_argument("--severities", nargs="+", type=int, metavar="1…5", help="default: all 5")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of what is drawn for corrupted images (default: 0)",
    )
    parser.add_argument(
        "--size",
        type=int,
        help="side of the input in pixels (default: the classifier's; sheet: 224)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images at once (default: 64)")
    parser.add_device()
    parser.add_argument(
        "--reference",
        metavar="RECORDS",
        help="a file of records, whose errors are the unit of another mCE",
    )
    parser.add_argument(
        "--sheet", metavar="IMAGE", help="draw all corruptions of one image instead"
    )
    parser.add_argument(
        "--shown", type=int, metavar="PIXELS", help="side of each picture in the sheet"
    )
    parser.add_argument(
        "--speed", action="store_true", help="measure the corruptions' speed on one thread instead"
    )
    parser.add_argument(
        "--out",
        help=(
            "file to which records are appended (default: work_dirs/robustness.jsonl; for a "
            "sheet: work_dirs/corruptions.png)"
        ),
    )


def run(**arguments: Any) -> None:
    """Does what the arguments ask for."""
    from benchmarks.robustness.cli import Options, measure

    measure(Options(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
