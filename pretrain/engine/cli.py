"""What ``pixelpretext train`` does once its arguments are parsed."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass

import torch.distributed as dist
from mmengine.config import Config

from pretrain.data import UnreadableData
from pretrain.data.sources import SourceError
from pretrain.engine.build import build_runner, check
from pretrain.engine.config_file import override, read_config, read_options, require_honoured
from pretrain.engine.hooks.nonfinite import NonFiniteError
from pretrain.engine.hooks.skipped_files import TooManyBadFiles
from pretrain.engine.settings import ConfigError

# What settings or data mend, and no traceback explains, though it shows in training only.
_MISTAKES = (ConfigError, SourceError, UnreadableData, NonFiniteError, TooManyBadFiles)


@dataclass(frozen=True)
class Options:
    """What ``pixelpretext train`` is asked for.

    Attributes:
        config: path of the config. work_dir, seed: in place of the config's.
        resume: False, ``auto`` (the newest checkpoint of the work_dir) or a checkpoint's path.
        amp: mixed precision, bf16 unless the config says fp16. cfg_options: ``KEY=VALUE`` of the
            config.
        launcher: who started the processes: ``auto``, ``none``, ``pytorch`` or ``slurm``. check:
            only check.
    """

    config: str
    work_dir: str | None = None
    resume: str | bool = False
    amp: bool = False
    seed: int | None = None
    cfg_options: Sequence[str] = ()
    launcher: str = "auto"
    check: bool = False


def load_config(options: Options) -> Config:
    """Reads the config file and applies the command line's overrides.

    Raises:
        ValueError, OSError: the file is missing or no config, or an override does not fit it.
    """
    cfg = read_config(options.config)
    override(cfg, read_options(options.cfg_options))
    if options.work_dir is not None:
        cfg.work_dir = options.work_dir
    if options.seed is not None:
        cfg.seed = options.seed
    if options.amp and cfg.get("engine", {}).get("precision", "fp32") == "fp32":
        cfg.merge_from_dict({"engine.precision": "bf16"})
    instead = {"work_dir": "give one of the two", "seed": "give one of the two"}
    require_honoured(cfg, read_options(options.cfg_options), instead=instead)
    return cfg


def train(options: Options) -> None:
    """Trains, or only checks. See :func:`run` for what it raises."""
    run(
        load_config(options),
        check_only=options.check,
        resume=options.resume,
        launcher=options.launcher,
    )


def run(cfg: Config, *, check_only: bool, resume: str | bool, launcher: str) -> None:
    """Trains what a config describes, or checks it and prints what would be trained.

    Raises:
        ValueError, OSError: a mistake in the config or the data; loss or gradients are not finite.
        RuntimeError: an error inside a step of the training: no mistake of the user's.
    """
    if check_only:
        print(check(cfg, resume=resume))
        return
    runner = build_runner(cfg, resume=resume, launcher=launcher)
    try:
        runner.train()
    except _MISTAKES:
        raise
    except ValueError as error:  # of a loss or a layer: whoever mends it needs the traceback
        raise RuntimeError("the training stopped with an error, see above") from error
    if dist.is_initialized():
        # Sharded parameters hold process groups. A finished sharded training once aborted while the
        # interpreter ended, and its launcher reported a failure: let none outlive this function.
        del runner
        gc.collect()
        dist.destroy_process_group()
