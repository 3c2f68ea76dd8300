"""Processes: which launcher started us, opening the group, wrapping the model."""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from mmengine.dist import is_main_process
from mmengine.model import MMDistributedDataParallel
from timm.layers import convert_sync_batchnorm
from torch import nn

from pretrain.engine.settings import ConfigError, EngineSettings

T = TypeVar("T")

LAUNCHERS = ("none", "pytorch", "slurm")


def detect_launcher(environment: Mapping[str, str] = os.environ) -> str:
    """Returns ``pytorch`` under torchrun, ``slurm`` in an srun step of several tasks, else
    ``none``.

    A batch script's own shell also carries SLURM_NTASKS and SLURM_PROCID; only a step has
    SLURM_STEP_NUM_TASKS, so a plain ``pixelpretext train`` inside sbatch stays a single process
    and does not wait for others.
    """
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= environment.keys():
        return "pytorch"
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        return "slurm"
    return "none"


def _export_slurm_ranks() -> None:
    """Translates an srun step's variables into those torch.distributed reads."""
    env = os.environ
    env["RANK"], env["WORLD_SIZE"] = env["SLURM_PROCID"], env["SLURM_STEP_NUM_TASKS"]
    env["LOCAL_RANK"] = env.get("SLURM_LOCALID", "0")
    if "MASTER_ADDR" not in env:
        nodes = env.get("SLURM_STEP_NODELIST") or env["SLURM_NODELIST"]
        command = ["scontrol", "show", "hostnames", nodes]
        env["MASTER_ADDR"] = subprocess.run(
            command, check=True, capture_output=True, text=True
        ).stdout.split()[0]
    # One port per job, so that two jobs on one node do not meet.
    env.setdefault("MASTER_PORT", str(20000 + int(env.get("SLURM_JOB_ID", 0)) % 20000))


def open_group(launcher: str = "auto", timeout_s: float = 1800) -> str:
    """Opens the process group (nccl with CUDA, else gloo) and chooses this process's device;
    returns the launcher.

    Must run before the Runner is built: mmengine would call ``torch.cuda.set_device`` on machines
    without a GPU, and with its launcher "none" it would train without exchanging gradients. Does
    nothing where a group is already open.

    Args:
        launcher: one of ``LAUNCHERS``, or ``auto`` to look at the environment.
        timeout_s: seconds a collective may take before the process gives up.

    Raises:
        ConfigError: unknown launcher.
    """
    if launcher == "auto":
        launcher = detect_launcher()
    if launcher not in LAUNCHERS:
        raise ConfigError(f"launcher={launcher!r}: must be one of {', '.join(LAUNCHERS)} or auto")
    if launcher == "none" or dist.is_initialized():
        return launcher
    if launcher == "slurm":
        _export_slurm_ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count())
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
    return launcher


def broadcast(value: T) -> T:
    """Returns rank 0's value (any picklable object) on all ranks. Collective."""
    if not dist.is_initialized():
        return value
    carrier = [value]
    dist.broadcast_object_list(carrier)
    return carrier[0]


def from_first_rank(action: Callable[[], T]) -> T:
    """Returns on all ranks what ``action`` returns on rank 0, any picklable object. Collective.

    Raises:
        ValueError, OSError: what ``action`` raised, on all ranks: none is left waiting for the
            others.
    """
    result, error = None, None
    if is_main_process():
        try:
            result = action()
        except (ValueError, OSError) as raised:
            if not dist.is_initialized():
                raise
            error = raised
    result, error = broadcast((result, error))
    if error is not None:
        raise error
    return result


def current_device() -> torch.device:
    """Returns the device this process trains on."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def wrap(model: nn.Module, settings: EngineSettings) -> nn.Module:
    """Moves the model to this process's device and prepares it for several processes.

    DDP never broadcasts buffers: BatchNorm statistics stay each process's own unless SyncBN joins
    them, and queues must not be overwritten. SyncBN works under CUDA only (gloo has no kernel for
    it); timm's converter is used because torch's would drop the activation that timm fuses into its
    norm layers.
    """
    model = model.to(current_device())
    sharded = settings.strategy == "fsdp" and dist.is_initialized()
    if settings.channels_last:
        model.data_preprocessor.channels_last = True
        if (
            not sharded
        ):  # FSDP takes no weights in another order; convolutions follow their input anyway
            model = model.to(memory_format=torch.channels_last)
    if not dist.is_initialized():
        return model
    on_cuda = torch.cuda.is_available()
    if settings.sync_bn and on_cuda:
        model = convert_sync_batchnorm(model)
    if sharded:
        from pretrain.engine.sharding import shard  # costs an import that DDP runs do not need

        return shard(model)
    with warnings.catch_warnings():
        # torch 2.14 announces a successor of broadcast_buffers that older supported versions lack.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        return MMDistributedDataParallel(
            module=model,
            device_ids=[torch.cuda.current_device()] if on_cuda else None,
            broadcast_buffers=False,
            find_unused_parameters=settings.find_unused_parameters,
        )
