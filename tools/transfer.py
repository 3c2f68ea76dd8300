"""Fine-tunes pretrained networks with mmsegmentation or mmdet by a published protocol and measures
them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretrain.command_line import CommandLine, main  # noqa: E402

EPILOG = """examples:
  python tools/transfer.py work_dirs/pixpro/final.pth configs/transfer/tiny/seg_fcn.py --data data/transfer/camvid \\
      --seeds 0 1 2
  python tools/transfer.py a.pth b.pth "random:resnet18" configs/transfer/tiny/det_fpn.py --data data/transfer/bccd
  bash tools/dist_train.sh tools/transfer.py 8 \\
      work_dirs/pixpro/final.pth configs/transfer/coco_maskrcnn_r50_fpn_1x.py --data data/coco

checkpoints: PATH.pth (a checkpoint of ours, or any state dict with ?backbone=NAME), timm:NAME, random:NAME?seed=0
recipes: configs/transfer/*.py; docs/transfer.md lists them with their sources and the data each needs
Running the same command again reads what is finished and goes on with what was cut off. Install the libraries first:
bash tools/setup.sh transfer"""


def command_line() -> CommandLine:
    """Returns the command line's parser."""
    parser = CommandLine("transfer", __doc__, examples=EPILOG)
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CHECKPOINT", help="pretrained networks, see below"
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a config of configs/transfer")
    parser.add_argument(
        "--data", metavar="ROOT", help="the data folder, in place of the recipe's data_root"
    )
    parser.add_seeds()
    parser.add_weights()
    parser.add_cfg_options(example="train_cfg.max_iters=1000")
    parser.add_argument("--check", action="store_true", help="only check recipe, networks and data")
    parser.add_launcher()
    parser.add_argument(
        "--work-dir",
        default="work_dirs/transfer",
        help="logs and checkpoints (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        default="work_dirs/transfer.jsonl",
        help="records are appended to this file (default: %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Fine-tunes and measures."""
    from benchmarks.transfer.cli import Options, transfer

    transfer(Options(**vars(args)))


if __name__ == "__main__":
    sys.exit(main(run, command_line(), interrupted="interrupted; the same command again goes on"))
