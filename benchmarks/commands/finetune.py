"""Fine-tunes networks for classification and measures them.

On all labels or a fraction of them, with several seeds; one table.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext finetune work_dirs/pixpro/final.pth "random:resnet18?output_stride=8" tiny \\
      --data data/flowers --seeds 0 1 2 --fraction 0.1
  pixelpretext finetune final.pth imagenet_r50_semi_30e --data data/imagenet \\
      --labels 1percent.txt --cfg-options schedule.epochs=60
  bash tools/dist_train.sh tools/finetune.py 8 \\
      work_dirs/cim_vitb16_300e/final.pth imagenet_vitb16_100e --data data/imagenet

checkpoints: PATH.pth (one of our checkpoints, or any state dict with ?backbone=NAME), timm:NAME,
  random:NAME?seed=0; quote them, because shells interpret ? and &
recipes: the name of a config in configs/finetune, or a path; docs/finetuning.md says where their
  settings come from
data: ROOT/train/<class>/… and ROOT/val/<class>/…; without these two folders ROOT/<class>/…, of
  which a fifth is held back
labels: --fraction draws that share of each class; --labels names a list, one image per line (path
  or file name)

Running the same command again does only what is missing; an interrupted run continues from its last
checkpoint.
exit codes: 0 done, 75 pre-empted with a checkpoint written: run again, 2 a mistake in the arguments
or the data, 130 interrupted, 1 a bug or an error while training"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CHECKPOINT", help="networks to start from, see below"
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a config of configs/finetune, see below")
    parser.add_argument("--data", required=True, metavar="ROOT", help="class folders, see below")
    parser.add_seeds()
    parser.add_argument(
        "--fraction", type=float, default=1.0, help="labelled share of each class (default: 1)"
    )
    parser.add_argument(
        "--fraction-seed", type=int, default=0, help="seed of that draw (default: 0)"
    )
    parser.add_argument(
        "--labels", metavar="FILE", help="a list of the labelled images instead of a fraction"
    )
    parser.add_weights()
    parser.add_cfg_options(example="schedule.epochs=50")
    parser.add_argument(
        "--check", action="store_true", help="check everything, say what would run, then stop"
    )
    parser.add_launcher()
    parser.add_argument(
        "--work-dir",
        default="work_dirs/finetune",
        help="folder for checkpoints and logs (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        default="work_dirs/finetune/results.jsonl",
        help="file to which records are appended (default: %(default)s)",
    )


def run(**arguments: Any) -> None:
    """Fine-tunes and measures."""
    from benchmarks.finetune.cli import Options, finetune_all

    finetune_all(Options(**arguments))


COMMAND = Command(
    description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run, continues=True
)
