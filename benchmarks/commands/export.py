"""Writes a network's weights for another library and checks that they load there.

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

networks: PATH.pth (a checkpoint of ours, or any state dict with ?backbone=NAME), timm:NAME,
  random:NAME, with options of the network behind ? and &; quote it, shells read both
Features before and after are compared where the other library is installed; if they differ nothing
is written. What each format holds and how it is loaded: docs/exchange.md"""


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
        "--out", help="file to write, a folder for huggingface (default: beside the checkpoint)"
    )
    parser.add_weights()
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")


def run(*, network: str, to: str, out: str | None, weights: str, overwrite: bool) -> None:
    """Exports, and prints how the file is loaded."""
    from benchmarks.export.run import export
    from pretrain.files import require_writable

    if out is not None:
        require_writable(Path(out).parent, "--out", folder=True)
    print(export(network, to, out=out, weights=weights, overwrite=overwrite))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
