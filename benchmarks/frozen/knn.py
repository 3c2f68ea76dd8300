"""Image classification by k nearest neighbours on frozen vectors, votes weighted by temperature.

With unit-norm vectors and cosines s_1 … s_k to the k nearest train images of labels y_j, the score
of class c is Σ_j exp(s_j / T) · [y_j = c], after Wu et al. 2018 (arXiv 1805.01978); k = 20 and T =
0.07 as in DINO (2021). Images are resized bilinearly with antialiasing, DINO's bicubically.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.neighbours import backend_of_networks, build_index, resolve_backend
from benchmarks.core.vectors import TOP, accuracy, check_settings, encode_split, top_of
from benchmarks.data.class_folder import ClassFolder
from benchmarks.frozen.baselines import Pixels, largest_classes, run_stand_in
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: int = 224  # side of the square input in pixels
    # shorter side is resized to size / crop_fraction, then the centre is cut
    crop_fraction: float = 0.875
    neighbours: int = 20  # k, clamped to the number of train images
    temperature: float = 0.07  # T, on cosines
    backend: str = "auto"  # auto, torch, faiss-cpu, faiss-gpu: the same neighbours up to ties
    batch_size: int = speed_only(64)  # images encoded at once

    def __post_init__(self) -> None:
        check_settings(self, ("size", "neighbours", "temperature", "batch_size"))


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs kNN classification: top-1 and top-5 accuracy in percent. Cost O(train · val · D).

    Raises:
        ValueError: a vector is not finite (named image), or an unknown back-end.
    """
    backend = resolve_backend(settings.backend, extractor.device)
    keys, queries = (
        F.normalize(
            encode_split(extractor, split, settings, phase=f"encode {part}", progress=progress),
            dim=1,
        )
        for part, split in (("train", data.train), ("val", data.val))
    )
    index = build_index(keys if backend == "faiss-cpu" else keys.to(extractor.device), backend)
    similarity, nearest = index.search(queries, settings.neighbours)
    labels = data.train.labels[nearest.cpu()]
    scores = vote(similarity.cpu(), labels, classes=data.classes, temperature=settings.temperature)
    return Result(*accuracy(scores, data.val.labels), facts=_facts(data, settings, backend))


def vote(similarity: Tensor, labels: Tensor, *, classes: int, temperature: float) -> Tensor:
    """Weighted votes, each row divided by its largest weight so that a small temperature cannot
    overflow.

    Args:
        similarity: (Q, k) cosines.
        labels: (Q, k) int64 classes of the neighbours.
        classes: C.
        temperature: T.

    Returns:
        (Q, C) scores.
    """
    weights = torch.exp((similarity - similarity.amax(1, keepdim=True)) / temperature)
    return similarity.new_zeros(len(similarity), classes).scatter_add_(1, labels, weights)


def _facts(data: ClassFolder, settings: Settings, backend: str) -> dict[str, Any]:
    effective = min(settings.neighbours, len(data.train))
    return dict(neighbours_effective=effective, backend=backend, dtype="float32")


def _majority(data: ClassFolder, settings: Settings, *, progress: Progress | None = None) -> Result:
    backend = backend_of_networks(settings.backend)
    return Result(*largest_classes(data), facts=_facts(data, settings, backend))


def _pixels(data: ClassFolder, settings: Settings, *, progress: Progress | None = None) -> Result:
    settings = replace(settings, backend=backend_of_networks(settings.backend))
    return run_stand_in(run, Pixels(), data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="knn",
    about="classes of images by nearest neighbours",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=TOP,
    expected=top_of,
    quick=dict(size=96),
    baselines=dict(majority=_majority, pixels=_pixels),
    baseline_needs=("backend",),
)
