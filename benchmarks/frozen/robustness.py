"""Corruptions on frozen features: a linear probe is fitted on clean train images and applied to
corrupted ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, versions
from benchmarks.core.vectors import encode_split
from benchmarks.data.class_folder import ClassFolder
from benchmarks.frozen import linear
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES
from benchmarks.robustness.folders import RobustnessData
from benchmarks.robustness.measures import summarise
from benchmarks.robustness.run import Crop, check_conditions, evaluate
from benchmarks.robustness.run import Settings as Conditions
from pretrain.progress import Progress

METRICS = (
    "error",
    "top5_error",
    "mean_corruption_error",
    "mean_corruption_top5_error",
    "error_increase",
)


@dataclass(frozen=True)
class Settings(linear.Settings):
    """The settings of the linear probe and those of the corruptions."""

    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)  # which
    severities: tuple[int, ...] = SEVERITIES  # 1 to 5
    corruption_seed: int = 0  # of what is drawn for the images

    def __post_init__(self) -> None:
        super().__post_init__()
        check_conditions(self.corruptions, self.severities)
        object.__setattr__(self, "corruptions", tuple(self.corruptions))
        object.__setattr__(self, "severities", tuple(self.severities))


class Probe:
    """A frozen network and a fitted linear probe as one classifier, see ``run.Scorer``.

    Args:
        extractor: The network.
        classes: Names in the order of the scores.
        settings: Of the probe.
        fitted: Weight (C, D), bias (C,), mean (D,), std (D,), see ``linear.fit``.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        classes: tuple[str, ...],
        settings: Settings,
        fitted: tuple[Tensor, ...],
    ) -> None:
        self.extractor, self.classes, self.fitted = extractor, tuple(classes), fitted
        self.size, self.crop_fraction, self.device = (
            settings.size,
            settings.crop_fraction,
            extractor.device,
        )

    def logits(self, images: Tensor) -> Tensor:
        """Scores (B, C) float32 of un-normalised images (B, 3, H, W) uint8."""
        weight, bias, mean, std = self.fitted
        vectors = self.extractor.vector(images).to(weight)
        return (((vectors - mean) / std) @ weight.T + bias).float()

    def describe(self) -> dict[str, Any]:
        """What the network says of itself."""
        return self.extractor.describe()


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Record:
    """Fits the probe on the train part, evaluates it on the validation part, clean and corrupted:
    record ``robustness`` with mean errors in percent; those of each corruption stand in its counts.

    Raises:
        ValueError: vectors or scores that are not finite (named image), or a class of one image in
            train.
    """
    started = time.perf_counter()
    probe, decay = fit_probe(extractor, data, settings, progress)
    images = RobustnessData("corrupted", data.root, data.class_names, data.val, {})
    conditions = Conditions(
        settings.corruptions,
        settings.severities,
        settings.corruption_seed,
        batch_size=settings.batch_size,
    )
    crop = Crop(settings.size, settings.crop_fraction, Image.Resampling.BILINEAR)
    counts, _ = evaluate(probe, images, conditions, crop, progress=progress)
    protocol = linear.protocol_of(data, settings) | dict(
        corruptions=list(settings.corruptions),
        severities=list(settings.severities),
        corruption_seed=settings.corruption_seed,
        generated="ours",
        readout="linear probe on clean images",
    )
    cost = dict(seconds=time.perf_counter() - started, weight_decay_chosen=decay)
    return Record(
        "robustness",
        {
            name: metric
            for name, metric in summarise(counts, alexnet=False).items()
            if name in METRICS
        },
        protocol,
        counts=counts,
        cost=cost,
        subject=extractor.describe(),
        versions=versions(str(extractor.device)),
    )


def fit_probe(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    progress: Progress | None = None,
) -> tuple[Probe, float]:
    """Fits the probe on clean images of the train part; returns it and the weight decay that was
    chosen.
    """
    linear.require_divisible(data, settings)
    vectors = encode_split(
        extractor,
        data.train,
        size=settings.size,
        batch_size=settings.batch_size,
        crop_fraction=settings.crop_fraction,
        phase="encode train",
        progress=progress,
    ).to(extractor.device, getattr(torch, settings.dtype))
    labels = data.train.labels.to(vectors.device)
    decay, _ = linear.choose_weight_decay(vectors, labels, data.classes, settings)
    fitted = linear.fit(vectors, labels, data.classes, (decay,), settings)[decay]
    return Probe(extractor, data.class_names, settings, fitted), decay
