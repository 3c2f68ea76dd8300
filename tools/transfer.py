"""Fine-tunes pretrained networks with mmsegmentation or mmdet by a published protocol and measures them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

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


def parse_args() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help="pretrained networks, see below")
    parser.add_argument("recipe", metavar="RECIPE", help="a config of configs/transfer")
    parser.add_argument("--data", metavar="ROOT", help="the data folder, in place of the recipe's data_root")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="fine-tune once with each (default: 0)")
    parser.add_argument(
        "--weights", default="online", choices=("online", "target"), help="of our checkpoints (default: online)"
    )
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the recipe")
    parser.add_argument("--check", action="store_true", help="only check recipe, networks and data")
    parser.add_argument("--launcher", default="auto", choices=("auto", "none", "pytorch", "slurm"))
    parser.add_argument("--work-dir", default="work_dirs/transfer", help="logs and checkpoints (default: %(default)s)")
    parser.add_argument(
        "--out", default="work_dirs/transfer.jsonl", help="records are appended to this file (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> None:
    """Fine-tunes and measures; a mistake in the arguments is one sentence, not a traceback."""
    args = parse_args()
    from benchmarks.transfer.cli import transfer

    sys.exit(transfer(args))


if __name__ == "__main__":
    main()
