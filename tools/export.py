"""Writes a network's weights for another library, proves that they load there, and prints the line
that does it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/export.py work_dirs/pixpro/final.pth --to timm
  python tools/export.py work_dirs/pixpro/final.pth --to mmseg --weights target --out pixpro_mmseg.pth
  python tools/export.py work_dirs/cim/final.pth --to huggingface --out cim_vit
  python tools/export.py "timm:resnet50?output_stride=8" --to onnx --out resnet50.onnx

networks: PATH.pth (a checkpoint of ours, or any state dict with ?backbone=NAME), timm:NAME, random:NAME, with options
  of the network behind ? and &; quote it, shells read both
Features before and after are compared where the other library is installed; if they differ nothing is written.
What each format holds and how it is loaded: docs/exchange.md"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("export", __doc__, examples=EPILOG)
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
    return parser


def run(args: argparse.Namespace) -> None:
    """Exports and prints how the file is loaded."""
    from benchmarks.export.run import export
    from pretrain.files import require_writable

    if args.out is not None:
        require_writable(Path(args.out).parent, "--out", folder=True)
    print(
        export(args.network, args.to, out=args.out, weights=args.weights, overwrite=args.overwrite)
    )


if __name__ == "__main__":
    sys.exit(main(run, command_line()))
