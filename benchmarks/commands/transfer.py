"""Fine-tunes with mmsegmentation or mmdet by a published protocol and measures."""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext transfer work_dirs/pixpro/final.pth tiny/seg_fcn --data data/transfer/camvid \\
      --seeds 0 1 2
  pixelpretext transfer a.pth b.pth "random:resnet18" tiny/det_fpn --data data/transfer/bccd
  bash tools/dist_train.sh tools/transfer.py 8 \\
      work_dirs/pixpro/final.pth coco_maskrcnn_r50_fpn_1x --data data/coco

checkpoints: PATH.pth (one of our checkpoints, or any state dict with ?backbone=NAME), timm:NAME,
  random:NAME?seed=0
recipes: the name of a config in configs/transfer, or a path; docs/transfer.md lists them with their
  sources and the data each needs
Running the same command again reads finished runs and continues interrupted ones. Install the
libraries first: bash tools/setup.sh transfer, or pip install 'pixelpretext[transfer]' and then
pixelpretext build-mmcv"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CHECKPOINT", help="pretrained networks, see below"
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a config of configs/transfer")
    parser.add_argument(
        "--data", metavar="ROOT", help="the data folder, instead of the recipe's data_root"
    )
    parser.add_seeds()
    parser.add_weights()
    parser.add_cfg_options(example="train_cfg.max_iters=1000")
    parser.add_argument("--check", action="store_true", help="only check recipe, networks and data")
    parser.add_launcher()
    parser.add_argument(
        "--work-dir",
        default="work_dirs/transfer",
        help="folder for logs and checkpoints (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        default="work_dirs/transfer.jsonl",
        help="file to which records are appended (default: %(default)s)",
    )


def run(**arguments: Any) -> None:
    """Fine-tunes and measures."""
    from benchmarks.transfer.cli import Options, transfer

    transfer(Options(**arguments))


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
