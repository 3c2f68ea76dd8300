"""Turns a checkpoint of others into one of ours: finds the layout, infers the network, accounts for
every tensor.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/import.py moco_v2_800ep_pretrain.pth.tar --from moco
  python tools/import.py dino_deitsmall16_pretrain_full_checkpoint.pth --weights target --out work_dirs/dino.pth
  python tools/import.py mae_pretrain_vit_base.pth --from mae
  python tools/import.py featup_dino16_jbu.ckpt --from featup            an upsampler: use it as jbu:FILE
  python tools/import.py mine.pth --backbone "vit_small_patch16_224?num_heads=12&img_size=(192,256)"
  python tools/import.py --layouts                                       lists the layouts and how sure they are

Every tool then takes the written file as it takes a checkpoint of ours. Where a file does not fit, the sentence says
what is in it."""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("import", __doc__, examples=EPILOG)
    parser.add_argument(
        "file",
        nargs="?",
        help="checkpoint on disk (torch.save or safetensors); nothing is downloaded",
    )
    parser.add_argument(
        "--from",
        dest="layout",
        default="auto",
        metavar="LAYOUT",
        help="see --layouts (default: recognise it)",
    )
    parser.add_argument(
        "--backbone", metavar="NAME[?OPTIONS]", help="timm name (default: inferred from shapes)"
    )
    parser.add_argument(
        "--weights",
        choices=("online", "target"),
        help="take this network alone (default: all the file holds)",
    )
    parser.add_argument(
        "--out", help="where to (default: work_dirs/imported/<name of the file>.pth)"
    )
    parser.add_argument("--layouts", action="store_true", help="list the layouts")
    return parser


def run(args: argparse.Namespace) -> None:
    """Imports."""
    from benchmarks.export.import_cli import Options, import_checkpoint

    import_checkpoint(Options(**vars(args)))


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
