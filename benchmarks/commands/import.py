"""Turns another project's checkpoint into one of ours.

Finds the layout, infers the network and accounts for every tensor.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext import moco_v2_800ep_pretrain.pth.tar --from moco
  pixelpretext import dino_deitsmall16_pretrain_full_checkpoint.pth --weights target \\
      --out work_dirs/dino.pth
  pixelpretext import mae_pretrain_vit_base.pth --from mae
  pixelpretext import featup_dino16_jbu.ckpt --from featup     an upsampler: use it as jbu:FILE
  pixelpretext import mine.pth --backbone "vit_small_patch16_224?num_heads=12&img_size=(192,256)"
  pixelpretext import --layouts                                lists the layouts, how sure they are

Every command then takes the written file like any of our checkpoints. If a file does not fit, the
message says what is in it."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
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
        help="import only this network (default: all that the file holds)",
    )
    parser.add_argument(
        "--out", help="file to write (default: work_dirs/imported/<name of the file>.pth)"
    )
    parser.add_argument("--layouts", action="store_true", help="list the layouts")


def run(**arguments: Any) -> None:
    """Imports."""
    from benchmarks.export.import_cli import Options, import_checkpoint

    import_checkpoint(Options(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
