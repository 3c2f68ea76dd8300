"""What a fine-tuning leaves beside its last weights: weights along the way, and its accuracy on
training images after every epoch.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from PIL import Image
from torch import Tensor

from benchmarks.core.extractor import normalise
from benchmarks.data.loading import CACHE_BYTES, centre_crop, ordered_map
from pretrain.data.decode import decode_file
from pretrain.engine.distributed import current_device
from pretrain.engine.hooks.progress import append_curve, cut_curve
from pretrain.engine.sharding import is_sharded
from pretrain.modes import evaluating
from pretrain.random_state import undisturbed_random

CURVE = "training_accuracy.csv"


@HOOKS.register_module()
class TrajectoryHook(Hook):
    """Keeps weights along a fine-tuning, and its accuracy on training images after every epoch.

    Weights go to ``kept_<steps>.pth``: those before the first step, and ``checkpoints`` more at
    equal distances before the end, whose weights are ``final.pth``. The accuracy goes to
    ``training_accuracy.csv``, one row per epoch: the share of images that are named rightly in eval
    mode, each seen as in a test (shorter side resized, centre cropped), whatever augmentation,
    mixing and drop path did to it in training. Training goes on as it would have without the hook.

    Args:
        checkpoints: how many weights are kept between start and end.
        images: training images at most, evenly spread, on which accuracy is measured.

    Raises:
        ValueError: a negative number of checkpoints, no image; at the start of training, a model
            that is sharded over processes.
    """

    priority = "LOW"  # before checkpoints are written, so that a resumed run lacks nothing
    asks_of_model = ("head",)

    def __init__(self, checkpoints: int = 4, images: int = 1000) -> None:
        if checkpoints < 0:
            raise ValueError(f"TrajectoryHook: checkpoints={checkpoints} must be at least 0")
        if images < 1:
            raise ValueError(f"TrajectoryHook: images={images} must be at least 1")
        self.checkpoints, self.images = checkpoints, images
        self._columns: list[str] = []
        self._kept: list[int] = []
        self._per_epoch = 0
        self._chosen: list[int] = []
        self._cache: dict[int, np.ndarray] = {}

    def before_train(self, runner: Runner) -> None:
        """Chooses steps and images, cuts the curve to the resumed step, keeps the first weights."""
        if is_sharded(runner.raw_model):
            raise ValueError(
                "TrajectoryHook: process 0 alone cannot run a model sharded by FSDP; leave "
                "engine.strategy at ddp"
            )
        loop, source = runner.train_loop, runner.train_dataloader.dataset.source
        self._kept = kept_steps(loop.max_iters, self.checkpoints)
        self._per_epoch = len(source) // loop.schedule.global_batch
        count = min(self.images, len(source))
        self._chosen = [place * len(source) // count for place in range(count)]
        if is_main_process():
            self._columns = cut_curve(Path(runner.work_dir) / CURVE, loop.iter)
        if loop.iter == 0:
            self._keep(runner, 0)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Keeps weights and measures when it is time."""
        steps = runner.iter + 1
        if steps in self._kept:
            self._keep(runner, steps)
        if steps % self._per_epoch == 0:
            if is_main_process():
                self._measure(runner, steps)
            barrier()

    def _keep(self, runner: Runner, steps: int) -> None:
        """Writes the weights without training state. Collective."""
        path = Path(runner.work_dir) / f"kept_{steps}.pth"
        runner.save_checkpoint(path, steps=steps, training_state=False)

    def _measure(self, runner: Runner, steps: int) -> None:
        """Adds a row to the curve."""
        model, device, right = runner.raw_model, current_device(), 0
        colours = model.data_preprocessor.normalisation
        with undisturbed_random(device), evaluating(model), torch.inference_mode():
            for images, labels in self._batches(runner):
                scores = model.scores(normalise(images, **colours, device=device))
                right += int((scores.argmax(1).cpu() == labels).sum())
        row = dict(step=steps, epoch=steps // self._per_epoch, top1=right / len(self._chosen))
        self._columns = append_curve(Path(runner.work_dir) / CURVE, self._columns, row)

    def _batches(self, runner: Runner) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields images (B, 3, S, S) uint8 and labels (B,) of the chosen training images."""
        source = runner.train_dataloader.dataset.source
        batch = runner.train_dataloader.batch_size
        squares = ordered_map(lambda index: self._square(runner, index), self._chosen, 2 * batch)
        for first in range(0, len(self._chosen), batch):
            chosen = self._chosen[first : first + batch]
            images = np.stack(list(islice(squares, len(chosen))))
            labels = torch.tensor([source.label(index) for index in chosen])
            yield torch.from_numpy(images).permute(0, 3, 1, 2), labels

    def _square(self, runner: Runner, index: int) -> np.ndarray:
        """One image as a test shows it, (S, S, 3) uint8; small sets stay in memory."""
        if index in self._cache:
            return self._cache[index]
        model, source = runner.raw_model, runner.train_dataloader.dataset.source
        image = centre_crop(
            decode_file(source.name(index)),
            model.size,
            model.crop_fraction,
            resample=Image.Resampling.BICUBIC,
        )
        if len(self._chosen) * image.nbytes <= CACHE_BYTES:
            self._cache[index] = image
        return image


def kept_steps(total: int, checkpoints: int) -> list[int]:
    """Steps between start and end at which weights are kept: k · total / (checkpoints + 1)."""
    steps = [round(k * total / (checkpoints + 1)) for k in range(1, checkpoints + 1)]
    return sorted({step for step in steps if 0 < step < total})


def kept_files(folder: Path) -> dict[int, Path]:
    """Steps -> files of the weights that a fine-tuning kept in its folder, ascending, without the
    last ones.
    """
    found = {}
    for path in folder.glob("kept_*.pth"):
        match = re.fullmatch(r"kept_(\d+)\.pth", path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def read_curve(folder: Path) -> tuple[float, ...]:
    """Accuracy on training images in percent after every epoch, as :class:`TrajectoryHook` wrote
    it; empty where no epoch was finished.
    """
    path = folder / CURVE
    if not path.is_file():
        return ()
    with open(path, newline="") as file:
        return tuple(100 * float(row["top1"]) for row in csv.DictReader(file))
