"""The one way in which analyses fine-tune a network: by ``benchmarks/finetune``, whose engine
resumes, with the whole trajectory kept.

All layers train, behind a new classifier. A fine-tuning has a folder of its own below ``work_dir``,
named by everything that decides its result; whoever asks for the same network, data, settings and
seed again gets what is there, so analyses of one network share their fine-tunings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from mmengine.registry import MODELS

from benchmarks.core.benchmark import shown_as, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.class_folder import ClassFolder
from benchmarks.finetune.classifier import Classifier
from benchmarks.finetune.recipe import fit
from benchmarks.finetune.run import train
from benchmarks.finetune.settings import Settings as Finetuning
from benchmarks.finetune.trajectory import TrajectoryHook, kept_files, read_curve
from benchmarks.finetune.tuning import untrained_spec
from benchmarks.weights.checkpoint import Checkpoint
from pretrain.engine.distributed import current_device
from pretrain.progress import Progress
from pretrain.random_state import undisturbed_random

#: Seed of the first control. Pretrainings have small seeds, and a control of seed 0 would be the
#: very network from which a pretraining of seed 0 began.
FIRST_CONTROL = 10_000


@dataclass(frozen=True)
class FineTuned:
    """Settings that every analysis has which fine-tunes; derive its own from this class."""

    recipe: str = "analysis"  # name of a file in configs/finetune, or a path
    # of the recipe, by dotted key: {"model.mixup": 0.7}
    options: Mapping[str, Any] = shown_as("recipe", default_factory=dict)
    epochs: float | None = shown_as("recipe", default=None)  # None: the recipe's
    lr: float | None = shown_as("recipe", default=None)  # peak learning rate; None: the recipe's
    size: int | None = shown_as("recipe", default=None)  # side in pixels; None: the recipe's
    # weights kept along the way, beside those of start and end
    checkpoints: int = shown_as("recipe", default=4)
    # training images at most whose accuracy is followed, evenly spread
    curve_images: int = shown_as("recipe", default=1000)
    batch_size: int = speed_only(64)  # images evaluated at once
    work_dir: str | None = speed_only(None)  # where fine-tunings stay; None: they do not

    def __post_init__(self) -> None:
        for name in ("epochs", "lr", "size"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value!r} must be greater than 0, or None (the recipe's)")
        if self.batch_size < 1:
            raise ValueError(f"batch_size={self.batch_size!r} must be at least 1")
        TrajectoryHook(self.checkpoints, self.curve_images)
        self.finetuning(0)

    def finetuning(self, seed: int) -> Finetuning:
        """The settings of one fine-tuning.

        Raises:
            ValueError: no such recipe, or an illegal setting.
        """
        options = dict(self.options)
        if self.epochs is not None:
            options |= {"schedule.epochs": self.epochs, "schedule.samples": None}
        if self.lr is not None:
            options |= {
                "schedule.lr_rule": "none",
                "schedule.lr": self.lr,
                "schedule.lr_per_256": None,
            }
        if self.size is not None:
            options |= {"model.size": self.size, "views.size": self.size}
        return Finetuning(
            recipe=self.recipe,
            options=options,
            tuning_seed=seed,
            batch_size=self.batch_size,
            work_dir=self.work_dir,
        )


@dataclass(frozen=True)
class Trajectory:
    """One fine-tuning from its first weights to its last.

    Attributes:
        files: of the classifiers along the way, ascending in steps; the first holds the weights
            before the first step (the new classifier as it was drawn), the last the final ones.
        steps: optimiser steps done at each of ``files``.
        curve: percent of the training images named rightly in eval mode after each epoch.
        protocol: what the result depends on beside the network: the facts of an analysis' record.
        subject: the network that was fine-tuned, and the seed.
        seconds: of the training.
        keeper: what keeps ``files`` alive where no ``work_dir`` was given.
    """

    files: tuple[Path, ...]
    steps: tuple[int, ...]
    curve: tuple[float, ...]
    protocol: dict[str, Any]
    subject: dict[str, Any]
    seconds: float
    keeper: TemporaryDirectory[str] | None = field(default=None, repr=False)

    def classifier(self, index: int = -1) -> Classifier:
        """Reads the classifier of ``files[index]``: a new one at each call, in eval mode, on the
        device that trains.
        """
        return Classifier.load(self.files[index], current_device())

    @cached_property
    def speed(self) -> float:
        """Optimisation speed: the mean of ``curve``, in percent.

        Raises:
            ValueError: less than one epoch was trained.
        """
        if not self.curve:
            raise ValueError(
                "epochs: less than one epoch was trained, so no accuracy was measured on the way; "
                "set epochs to 1 or more"
            )
        return fmean(self.curve)


def fine_tuned(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: FineTuned,
    *,
    seed: int,
    inputs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Trajectory:
    """Fine-tunes a copy of the extractor's network on the train part, or reads what an earlier call
    left; an interrupted fine-tuning goes on where its last checkpoint was, and one that another
    process makes is waited for: two arms of a comparison may share their random start.

    Args:
        extractor: the network to start from; stays as it is. :func:`random_start` gives the same
            architecture with random weights.
        data: class folders.
        settings: of the analysis.
        seed: of classifier, order of images and augmentation.
        inputs: registry dict of a fixed change of the normalised images, in training and in tests,
            such as ``dict(type="BlockShuffle", block=8)``; see ``Finetuner``.
        progress: called with ("fine-tune", step, steps).

    Raises:
        ConfigError, ValueError: a mistake in recipe, labels or data; several processes without a
            ``work_dir``.
    """
    keeper = None
    if settings.work_dir is None:
        if dist.is_initialized():
            raise ValueError("work_dir=None: several processes need one folder to share; give it")
        keeper = TemporaryDirectory()
        settings = replace(settings, work_dir=keeper.name)
    finetuning = settings.finetuning(seed)
    if inputs is not None:
        options = dict(finetuning.options) | {"model.inputs": dict(inputs)}
        finetuning = replace(finetuning, options=options)
    hook = dict(
        type="TrajectoryHook", checkpoints=settings.checkpoints, images=settings.curve_images
    )
    fitted = fit(extractor, data, finetuning, hooks=[hook])
    train(fitted, wait_s=math.inf, progress=progress)
    meta = Checkpoint.read(fitted.final).meta
    files = kept_files(fitted.work_dir) | {meta["iter"]: fitted.final}
    return Trajectory(
        tuple(files.values()),
        tuple(files),
        read_curve(fitted.work_dir),
        protocol=fitted.protocol,
        subject=fitted.subject,
        seconds=meta["seconds"],
        keeper=keeper,
    )


def random_start(extractor: FeatureExtractor, *, number: int = 0) -> FeatureExtractor:
    """The same architecture and normalisation with random weights.

    Args:
        extractor: the network whose control it is.
        number: which of them; its seed is ``FIRST_CONTROL + number``.
    """
    seed = FIRST_CONTROL + number
    with undisturbed_random():
        torch.manual_seed(seed)
        backbone = MODELS.build(extractor.backbone.architecture)
    backbone = backbone.to(device=extractor.device, memory_format=torch.channels_last).eval()
    spec = untrained_spec(extractor.backbone.config)
    spec += f"{'&' if '?' in spec else '?'}seed={seed}"
    return FeatureExtractor(backbone, mean=extractor.mean, std=extractor.std, spec=spec)


def named(progress: Progress | None, name: str) -> Progress | None:
    """The same progress with ``name`` before its phases: which of several fine-tunings it is."""
    if progress is None:
        return None
    return lambda phase, done, total: progress(f"{name}: {phase}", done, total)
