"""Trains a feature upsampler for a frozen backbone, without labels."""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext train-upsampler work_dirs/pixpro/final.pth --data data/photos
  pixelpretext train-upsampler work_dirs/pixpro/final.pth --data data/photos \\
      --size 96 --samples 4000 --work-dir work_dirs/upsamplers/jbu_0 \\
      --cfg-options model.objective.shared=True
  pixelpretext train-upsampler timm:vit_small_patch14_dinov2 --data data/photos \\
      --upsampler neighbourhood
  pixelpretext train-upsampler work_dirs/pixpro/final.pth --data data/photos --objective regression
  pixelpretext train-upsampler work_dirs/pixpro/final.pth --data data/photos --upsampler bilinear
  pixelpretext train-upsampler work_dirs/pixpro/final.pth --data data/photos --resume

backbone: PATH.pth (one of our checkpoints, or any state dict with ?backbone=NAME), timm:NAME,
  random:NAME, each with ?output_stride=8&map_stride=16&weights=target and options of the network;
  quote it, because shells interpret ? and &
objectives: consistency (upsamplers/consistency), regression (upsamplers/regression)
upsamplers: a trained kind of the table in docs/upsamplers.md, or bilinear; each objective has its
  own default
bilinear trains only the downsampler and the uncertainty of the consistency loss: the baseline that
  an upsampler has to beat
The work folder then holds final.pth (upsampler and backbone), config.py and curve.csv; compare
several with pixelpretext evaluate-upsampler.

exit codes: 0 done, 75 pre-empted with a checkpoint written: run again with --resume, 2 a mistake in
the arguments or the data, 130 interrupted, 1 a bug or an error while training"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("backbone", help="CHECKPOINT, timm:NAME or random:NAME, see below")
    parser.add_argument("--data", required=True, help="folder of images, at any depth")
    parser.add_argument(
        "--upsampler",
        metavar="KIND",
        help="default: the objective's own",
    )
    parser.add_argument("--objective", default="consistency", choices=("consistency", "regression"))
    parser.add_argument(
        "--size", type=int, default=224, help="side of the training crops in pixels (default: 224)"
    )
    parser.add_argument(
        "--samples", type=int, help="images shown in total (default: the config's, 8,000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    parser.add_argument(
        "--work-dir",
        help="folder for checkpoints and logs (default: work_dirs/upsamplers/<kind>_<seed>)",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default=False,
        metavar="auto|PATH",
        help="continue from the newest checkpoint in the work_dir, or from this one",
    )
    parser.add_cfg_options(
        example="schedule.lr=3e-4 model.objective.jitters=3 model.upsampler.radius=2"
    )
    parser.add_launcher()
    parser.add_argument(
        "--check", action="store_true", help="check the settings and the data, then stop"
    )


def run(**arguments: Any) -> None:
    """Builds the runner and trains."""
    from benchmarks.upsampling.training import Options, train

    train(Options(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
