"""Pretrains a backbone as its config says.

In one process, or in each process of torchrun or srun.
"""

from __future__ import annotations

from typing import Any

from pretrain.command_line import Command, CommandLine

EXAMPLES = """examples:
  pixelpretext train imagenet/pixpro_r50_100e --work-dir work_dirs/pixpro
  pixelpretext train CONFIG --resume              # from the newest checkpoint in the work_dir
  pixelpretext train CONFIG --amp --cfg-options schedule.global_batch=256 loader.workers=8
  bash tools/dist_train.sh CONFIG 8               # eight processes, restarted if one dies

exit codes: 0 done, 75 pre-empted (SIGTERM, SIGUSR1, SIGUSR2) with a checkpoint written: run again
with --resume, 2 a mistake in the arguments, the config or the data, 130 interrupted, 1 a bug or an
error while training"""


def add_arguments(parser: CommandLine) -> None:
    """Declares what the command takes."""
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--work-dir", help="folder for checkpoints and logs (default: work_dirs/<config name>)"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default=False,
        metavar="auto|PATH",
        help="continue from the newest checkpoint in the work_dir, or from this one",
    )
    parser.add_argument(
        "--amp", action="store_true", help="mixed precision: bf16 unless the config says fp16"
    )
    parser.add_argument("--seed", type=int, help="random seed instead of the config's")
    parser.add_cfg_options(example="source.root=DIR model.objectives.0.hidden=2048")
    parser.add_launcher()
    parser.add_argument(
        "--check",
        action="store_true",
        help="check the config, list what its source holds, then stop",
    )


def run(**arguments: Any) -> None:
    """Builds the runner and trains."""
    from pretrain.engine.cli import Options, train

    train(Options(**arguments))


COMMAND = Command(description=__doc__, examples=EXAMPLES, add_arguments=add_arguments, run=run)
