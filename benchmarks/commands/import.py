"""Turns another project's checkpoint into one of ours.

Finds the layout, infers the network and accounts for every tensor.
"""

from __future__ import annotations

from pathlib import Path

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
    parser.add_listing("--layouts", _layouts, help="list the layouts, and exit")


def run(
    *, file: str, layout: str, backbone: str | None, weights: str | None, out: str | None
) -> None:
    """Imports, and prints what became of every tensor."""
    from rich.console import Console

    from benchmarks.export.import_run import import_file, parse_backbone
    from pretrain.files import require_writable

    if out is None:
        require_writable("work_dirs/imported", "the folder of imported files", folder=True)
    else:
        require_writable(out, "--out")
    name, options = parse_backbone(backbone)
    network = dict(backbone=name, options=options, weights=weights)
    # One torch.load: there is no progress to count.
    with Console().status(f"reading {Path(file).name}"):
        written = import_file(file, out, layout=layout, **network)
    print(*written.lines, f"written: {written.path}", sep="\n")


def _layouts() -> str:
    from pretrain.weights.layouts import LAYOUTS

    lines = [f"{layout.name}: {layout.source} ({layout.status})" for layout in LAYOUTS]
    return "\n".join([*lines, "featup: an upsampler of FeatUp, 2403.10516"])


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
