"""Unpacks the real photos that comparisons/real uses.

The comparison does this itself.
"""

from __future__ import annotations

from pretrain.command_line import Command, CommandLine

EXAMPLES = """example:
  PIXELPRETEXT_SHARED=/data/shared pixelpretext unpack-shared data/real

The archives are not part of this repository; each holds one folder of its own name:
  pretrain_caltech101_s128.tar  <class>/*.jpg: Caltech-101, shorter side resized to 128 px
  seg_camvid.tar                train, trainannot, val, valannot: CamVid with 11 classes, as
                                docs/data.md says"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("out", help="folder to make")
    parser.add_argument(
        "--archives", help="folder of the .tar files (default: data/ in $PIXELPRETEXT_SHARED)"
    )
    parser.add_argument(
        "--held-back",
        type=float,
        default=0.2,
        help="share of each Caltech class kept for val (default 0.2)",
    )


def run(*, out: str, archives: str | None, held_back: float) -> None:
    """Unpacks."""
    from benchmarks.data.prepare.for_comparison import prepare_real

    prepare_real(out=out, archives=archives, held_back=held_back)


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
