"""Counting, listing and limiting files that could not be decoded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from pretrain.engine.distributed import world
from pretrain.files import atomic_write

LISTING = "skipped.json"


class TooManyBadFiles(RuntimeError):
    """More files than allowed could not be decoded."""


@HOOKS.register_module()
class BadFilesHook(Hook):
    """Lists the files that were replaced in ``work_dir/skipped.json`` and stops when they are too many.

    Args:
        max_fraction: share of the source's files that may be bad.
        every: optimiser steps between looks at the other ranks.
    """

    priority = "NORMAL"

    def __init__(self, max_fraction: float, every: int) -> None:
        self.max_fraction, self.every = max_fraction, every
        self._bad: dict[int, str] = {}
        self._new: dict[int, str] = {}

    def before_train(self, runner: Runner) -> None:
        """Continues an earlier list."""
        path = Path(runner.work_dir) / LISTING
        if runner.train_loop.iter and path.exists():
            self._bad = {entry["id"]: entry["reason"] for entry in json.loads(path.read_text())["files"]}

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Collects; every ``every`` steps all ranks share what they met."""
        self._new.update((i, reason) for i, reason in runner.train_loop.skipped if i not in self._bad)
        if (runner.iter + 1) % self.every == 0 or runner.iter + 1 == runner.max_iters:
            self._share(runner)

    def _share(self, runner: Runner) -> None:
        """Joins the ranks' lists (collective), writes them, stops if they are too long."""
        if dist.is_initialized():
            count = torch.tensor([len(self._new)], device=next(runner.model.parameters()).device)
            dist.all_reduce(count)
            if not count.item():
                return
            lists: list[dict[int, str]] = [{} for _ in range(dist.get_world_size())]
            dist.all_gather_object(lists, self._new)
            for entries in lists:
                self._bad.update(entries)
        elif self._new:
            self._bad.update(self._new)
        else:
            return
        self._new = {}
        source = runner.train_dataloader.dataset.source
        listing = [{"id": i, "reason": reason} for i, reason in sorted(self._bad.items())]
        path = Path(runner.work_dir) / LISTING
        if world()[0] == 0:
            atomic_write(path, json.dumps({"images": len(source), "files": listing}, indent=1))
        if len(self._bad) > self.max_fraction * len(source):
            raise TooManyBadFiles(
                f"{len(self._bad)} of {len(source)} files could not be decoded, more than loader.max_bad_fraction="
                f"{self.max_fraction:g} allows; first: {listing[0]['reason']}; all: {path}"
            )
