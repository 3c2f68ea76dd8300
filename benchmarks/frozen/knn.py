"""Image classification by k nearest neighbours on frozen vectors, votes weighted by temperature.

With unit-norm vectors and cosines s_1 … s_k to the k nearest train images of labels y_j, the score
of class c is Σ_j exp(s_j / T) · [y_j = c], after Wu et al. 2018 (arXiv 1805.01978); k = 20 and T =
0.07 as in DINO (2021). Images are resized bilinearly with antialiasing, DINO's bicubically.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.neighbours import build_index, resolve_backend
from benchmarks.core.record import Record, versions
from benchmarks.core.vectors import accuracy, check_settings, encode_split
from benchmarks.data.class_folder import ClassFolder
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: int = 224  # side of the square input in pixels
    crop_fraction: float = (
        0.875  # shorter side is resized to size / crop_fraction, then the centre is cut
    )
    neighbours: int = 20  # k, clamped to the number of train images
    temperature: float = 0.07  # T, on cosines
    backend: str = "auto"  # auto, torch, faiss-cpu, faiss-gpu: the same neighbours up to ties
    batch_size: int = 64  # images encoded at once; changes speed, not the result

    def __post_init__(self) -> None:
        check_settings(self, ("size", "neighbours", "temperature", "batch_size"))


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Record:
    """Runs kNN classification: record ``knn`` with top-1 and top-5 accuracy in percent. Cost
    O(train · val · D).

    Raises:
        ValueError: a vector is not finite (named image), or an unknown back-end.
    """
    started = time.perf_counter()
    backend = resolve_backend(settings.backend, extractor.device)
    options = dict(
        size=settings.size,
        batch_size=settings.batch_size,
        crop_fraction=settings.crop_fraction,
        progress=progress,
    )
    keys = encode_split(extractor, data.train, phase="encode train", **options)
    queries = encode_split(extractor, data.val, phase="encode val", **options)
    keys, queries = (torch.nn.functional.normalize(v, dim=1) for v in (keys, queries))
    index = build_index(keys if backend == "faiss-cpu" else keys.to(extractor.device), backend)
    similarity, found = (t.cpu() for t in index.search(queries, settings.neighbours))
    scores = vote(similarity, data.train.labels[found], data.classes, settings.temperature)
    metrics, counts = accuracy(scores, data.val.labels)
    protocol = protocol_of(data, settings, backend=backend)
    cost = dict(seconds=time.perf_counter() - started)
    beside = versions(str(extractor.device))
    return Record(
        "knn",
        metrics,
        protocol,
        counts=counts,
        cost=cost,
        subject=extractor.describe(),
        versions=beside,
    )


def protocol_of(data: ClassFolder, settings: Settings, *, backend: str) -> dict[str, Any]:
    """What the number depends on apart from the network."""
    effective = min(settings.neighbours, len(data.train))
    return dict(
        data=data.protocol,
        size=settings.size,
        crop_fraction=settings.crop_fraction,
        neighbours=settings.neighbours,
        neighbours_effective=effective,
        temperature=settings.temperature,
        backend=backend,
        dtype="float32",
    )


def vote(similarity: Tensor, labels: Tensor, classes: int, temperature: float) -> Tensor:
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
