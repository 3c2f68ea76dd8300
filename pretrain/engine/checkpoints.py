"""Checkpoint files: atomic, safe to load (``weights_only=True``), found after a crash."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from pretrain.files import atomic_path, atomic_write
from pretrain.random_state import random_state

POINTER = "last_checkpoint"  # mmengine's name for the file that holds the newest checkpoint's path


def gather_random_states() -> list[dict[str, Any]]:
    """Returns the random state of every rank, in rank order, on all ranks. Collective."""
    if not dist.is_initialized():
        return [random_state()]
    states: list[dict[str, Any]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(states, random_state())
    return states


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes the file under a temporary name, syncs it and renames it.

    Raises:
        OSError: it cannot be written; says how much room there is and which checkpoint remains.
    """
    try:
        with atomic_path(path) as temporary:
            torch.save(checkpoint, temporary)
    except (
        OSError,
        RuntimeError,
    ) as error:  # torch's writer raises RuntimeError when the disk is full
        why = (
            getattr(error, "strerror", None)
            or " ".join(str(error).split())[:120]
            or type(error).__name__
        )
        older = latest_checkpoint(path.parent)
        remains = "no earlier one exists" if older is None else f"{older.name} remains whole"
        raise OSError(
            f"{path}: the checkpoint cannot be written ({why}; {_room(path.parent)}); {remains}"
        ) from error


def _room(folder: Path) -> str:
    """Returns how much can still be written on the folder's disk."""
    try:
        return f"{shutil.disk_usage(folder).free / 2**30:.2f} GiB free on that disk"
    except OSError:
        return "free space unknown"


def origin(resume: bool | str | Path) -> str | None:
    """Returns what marks the checkpoints of one launch that began at a named checkpoint; else None.

    A launch is a SLURM job or one start of torchrun: both run the very same command again, requeued
    or restarted.
    """
    launch = os.environ.get("SLURM_JOB_ID") or os.environ.get("TORCHELASTIC_RUN_ID")
    if launch is None or resume in (True, False, "auto"):
        return None
    return f"{launch}:{Path(resume).resolve()}"


def saved_steps(work_dir: str | Path) -> list[tuple[int, Path]]:
    """Returns (optimiser step, path) of every ``iter_N.pth`` in the folder, oldest first."""
    saved = []
    for path in Path(work_dir).glob("iter_*.pth"):
        match = re.fullmatch(r"iter_(\d+)\.pth", path.name)
        if match:
            saved.append((int(match[1]), path))
    return sorted(saved)


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Returns the newest complete checkpoint, or None.

    Files are renamed into place only when complete, so the highest number is right even if the
    process died before it could update the ``last_checkpoint`` file.
    """
    steps = saved_steps(work_dir)
    return steps[-1][1] if steps else None


def tidy(work_dir: str | Path, keep: int, *, spared: Collection[int] = ()) -> None:
    """Points ``last_checkpoint`` at the newest file; removes leftovers, and all checkpoints but the
    newest ``keep`` and those of the steps ``spared``.
    """
    steps = saved_steps(work_dir)
    if not steps:
        return
    atomic_write(Path(work_dir) / POINTER, str(steps[-1][1].resolve()))
    for step, path in steps[:-keep]:
        if step not in spared:
            path.unlink()
    for leftover in Path(work_dir).glob(".iter_*.tmp.pth"):
        leftover.unlink()
