"""Pretrains a backbone as a config says: one process, or each process of torchrun or srun."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

EPILOG = """examples:
  python tools/train.py configs/imagenet/pixpro_r50_100e.py --work-dir work_dirs/pixpro
  python tools/train.py CONFIG --resume                          # from the newest checkpoint in the work_dir
  python tools/train.py CONFIG --amp --cfg-options schedule.global_batch=256 loader.workers=8
  bash tools/dist_train.sh CONFIG 8                              # eight processes, restarted if one dies

exit codes: 0 done, 75 pre-empted (SIGTERM, SIGUSR1, SIGUSR2) with a checkpoint written: run again with --resume,
2 a mistake in the config, 1 anything else"""


def parse_args() -> argparse.Namespace:
    """Returns the command line's arguments."""
    from mmengine.config import DictAction

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="folder for checkpoints and logs (default: work_dirs/<config name>)")
    parser.add_argument(
        "--resume", nargs="?", const="auto", default=False, metavar="auto|PATH",
        help="continue from the newest checkpoint in the work_dir, or from this one",
    )  # fmt: skip
    parser.add_argument("--amp", action="store_true", help="mixed precision: bf16 unless the config says fp16")
    parser.add_argument("--seed", type=int, help="random seed in place of the config's")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="K=V",
        help="settings to override, such as source.root=DIR model.objectives.0.hidden=2048",
    )  # fmt: skip
    parser.add_argument(
        "--launcher", default="auto", choices=("auto", "none", "pytorch", "slurm"),
        help="who started the processes (default: auto, read from the environment)",
    )  # fmt: skip
    parser.add_argument("--check", action="store_true", help="check the config and its data, then stop")
    return parser.parse_args()


def main() -> None:
    """Builds the runner and trains; a config mistake is one sentence, not a traceback."""
    args = parse_args()
    from pretrain.engine.cli import train

    sys.exit(train(args))


if __name__ == "__main__":
    main()
