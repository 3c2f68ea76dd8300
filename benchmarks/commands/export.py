"""Writes a network's weights for another library and checks that they load.

Prints the line that loads them.
"""

from __future__ import annotations

from pathlib import Path

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext export work_dirs/pixpro/final.pth --to timm
  pixelpretext export work_dirs/pixpro/final.pth --to mmseg --weights target --out pixpro_mmseg.pth
  pixelpretext export work_dirs/cim/final.pth --to huggingface --out cim_vit
  pixelpretext export "timm:resnet50?output_stride=8" --to onnx --out resnet50.onnx

networks: PATH.pth (one of our checkpoints, or any state dict with ?backbone=NAME), timm:NAME,
  random:NAME, with options of the network after ? and &; quote them, because shells interpret both
If the other library is installed, features before and after are compared; if they differ, nothing
is written. docs/exchange.md says what each format holds and how to load it."""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("network", help="CHECKPOINT, timm:NAME or random:NAME, see below")
    parser.add_argument(
        "--to",
        required=True,
        metavar="FORMAT",
        help=(
            "timm, torchvision, mmdet, mmseg, detectron2, huggingface, safetensors, onnx or "
            "torchscript"
        ),
    )
    parser.add_argument(
        "--out", help="file to write, a folder for huggingface (default: next to the checkpoint)"
    )
    parser.add_weights()
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")


def run(*, network: str, to: str, out: str | None, weights: str, overwrite: bool) -> None:
    """Exports, and prints how the file is loaded."""
    from benchmarks.export.run import export
    from pretrain.files import require_writable

    if out is not None:
        require_writable(Path(out).parent, "--out", folder=True)
    print(export(network, to, out=out, weights=weights, overwrite=overwrite))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
