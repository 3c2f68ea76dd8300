"""Trivial predictors of whole images: largest class, 16×16 pixels, mean colours for maps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.core.neighbours import resolve_backend
from benchmarks.core.record import Record, versions
from benchmarks.core.vectors import accuracy
from benchmarks.data import ClassFolder
from benchmarks.frozen import cam, knn, linear, robustness
from benchmarks.frozen.baselines.features import ColourPosition, NoImage, Pixels
from pretrain.progress import Progress

COLOUR_STRIDE = 8  # pixels per mean colour of the maps that stand for a network's


def knn_majority(
    data: ClassFolder, settings: knn.Settings, *, progress: Progress | None = None
) -> Record:
    """The largest train classes, everywhere: the first for top-1, the first five for top-5."""
    started = time.perf_counter()
    metrics, counts = accuracy(_class_counts(data), data.val.labels)
    protocol = knn.protocol_of(data, settings, backend=_backend(settings))
    return _record("knn", metrics, counts, protocol, started)


def knn_pixels(
    data: ClassFolder, settings: knn.Settings, *, progress: Progress | None = None
) -> Record:
    """kNN with :class:`Pixels` as the network."""
    return knn.run(Pixels(), data, replace(settings, backend=_backend(settings)), progress=progress)


def linear_majority(
    data: ClassFolder, settings: linear.Settings, *, progress: Progress | None = None
) -> Record:
    """See :func:`knn_majority`."""
    started = time.perf_counter()
    metrics, counts = accuracy(_class_counts(data), data.val.labels)
    return _record("linear", metrics, counts, linear.protocol_of(data, settings), started)


def linear_pixels(
    data: ClassFolder, settings: linear.Settings, *, progress: Progress | None = None
) -> Record:
    """Logistic regression on :class:`Pixels`."""
    return linear.run(Pixels(), data, settings, progress=progress)


def robustness_pixels(
    data: ClassFolder, settings: robustness.Settings, *, progress: Progress | None = None
) -> Record:
    """Logistic regression on :class:`Pixels`, under corruption."""
    return robustness.run(Pixels(), data, settings, progress=progress)


def cam_colour_position(
    data: ClassFolder, settings: cam.Settings, *, progress: Progress | None = None
) -> Record:
    """Activation maps of a classifier that knows mean colours only: a mean tells no place."""
    return cam.run(ColourPosition(COLOUR_STRIDE), data, settings, progress=progress)


KNN: dict[str, Callable[..., Record]] = {"majority": knn_majority, "pixels": knn_pixels}
LINEAR: dict[str, Callable[..., Record]] = {"majority": linear_majority, "pixels": linear_pixels}
ROBUSTNESS: dict[str, Callable[..., Record]] = {"pixels": robustness_pixels}
CAM: dict[str, Callable[..., Record]] = {"colour_position": cam_colour_position}


def _class_counts(data: ClassFolder) -> Tensor:
    """Scores (n, C) of the val images: how many train images a class has, the same in every row."""
    counts = torch.bincount(data.train.labels, minlength=data.classes)
    return counts.expand(len(data.val), -1)


def _record(
    benchmark: str,
    metrics: dict[str, Any],
    counts: dict[str, Any],
    protocol: dict[str, Any],
    started: float,
) -> Record:
    cost, predictor = dict(seconds=time.perf_counter() - started), NoImage("majority")
    return Record(benchmark, metrics, protocol, counts, cost, predictor.describe(), versions("cpu"))


def _backend(settings: knn.Settings) -> str:
    """The back-end a network would get on this machine: the protocols must agree."""
    return resolve_backend(settings.backend, "cuda" if torch.cuda.is_available() else "cpu")
