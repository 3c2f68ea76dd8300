"""What ``tools/train.py`` does once its arguments are parsed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import torch.distributed as dist
from mmengine.config import Config

from pretrain.engine.build import build_runner, check
from pretrain.engine.settings import ConfigError

CONFIG_EXIT_CODE = 2


def load_config(args: argparse.Namespace) -> Config:
    """Reads the config file and applies the command line's overrides."""
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    if args.seed is not None:
        cfg.seed = args.seed
    if args.amp and cfg.get("engine", {}).get("precision", "fp32") == "fp32":
        cfg.merge_from_dict({"engine.precision": "bf16"})
    return cfg


def train(args: argparse.Namespace) -> int:
    """Trains, or only checks with ``--check``; returns the exit code. Mistakes in the config print one sentence."""
    return run(args, lambda: load_config(args), title=args.config)


def run(args: argparse.Namespace, make_config: Callable[[], Config], *, title: str) -> int:
    """Trains what ``make_config`` returns; ``args`` needs ``check``, ``resume`` and ``launcher``. See :func:`train`."""
    try:
        cfg = make_config()
        if args.check:
            print(check(cfg, resume=args.resume))
            return 0
        runner = build_runner(cfg, resume=args.resume, launcher=args.launcher)
    except (ConfigError, FileNotFoundError) as error:
        print(f"{title}: {error}", file=sys.stderr)
        return CONFIG_EXIT_CODE
    runner.train()
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0
