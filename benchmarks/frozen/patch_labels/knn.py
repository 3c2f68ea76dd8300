"""Patch kNN: each pixel of a patch gets the most frequent label that the patch's nearest train
patches have at that pixel, the smallest of equals.

Neighbours are those of the largest cosine, or of the smallest Euclidean distance, whichever does
better on held-back images, as does their number (Darcet et al. 2025, arXiv 2502.08769). The search
is exact; cost M · queries · D multiply-adds, once per distance for the choice and once more for the
score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.neighbours import (
    BACKENDS,
    Index,
    build_index,
    resolve_backend,
)
from benchmarks.core.scores import SEGMENTATION_METRICS
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.patch_labels.choosing import Classifier, choose, score
from benchmarks.frozen.patch_labels.patches import (
    Patches,
    Standardiser,
    most_frequent,
    train_patches,
)
from benchmarks.frozen.patch_labels.settings import PatchSettings, check_positive
from pretrain.names import check_choice
from pretrain.progress import Progress

NAME = "patch_knn"
DISTANCES = ("cosine", "euclidean")
_PIECE_BYTES = 64 << 20  # of votes at once


@dataclass(frozen=True)
class Settings(PatchSettings):
    """Every number the result depends on, apart from data and network. The defaults are CAPI's."""

    neighbours: tuple[int, ...] = (1, 3, 10, 30)  # k, of which one is chosen
    distances: tuple[str, ...] = DISTANCES  # of which one is chosen
    backend: str = "auto"  # auto, torch, faiss-cpu, faiss-gpu: the same neighbours up to ties

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "neighbours")
        names = self.distances.split(",") if isinstance(self.distances, str) else self.distances
        object.__setattr__(self, "distances", tuple(names))
        if not self.distances:
            raise ValueError(f"distances=() must name one of {', '.join(DISTANCES)} at least")
        for name in self.distances:
            check_choice("distances", name, DISTANCES)
        check_choice("backend", self.backend, BACKENDS)


@dataclass(frozen=True, order=True)
class Choice:
    """How neighbours are found and how many vote."""

    distance: str
    neighbours: int

    def __str__(self) -> str:
        return f"{self.distance} k={self.neighbours}"


class Neighbours:
    """Labelled patches that can be asked for the labels of others.

    Args:
        patches: whose labels vote.
        distance: one of ``DISTANCES``.
        standardise: every channel first.
        backend: of the search.
    """

    def __init__(self, patches: Patches, distance: str, *, standardise: bool, backend: str) -> None:
        self._standard = Standardiser.of(patches.features, standardise=standardise)
        self._distance, self._labels = distance, patches.labels
        self._width = int(patches.labels.max()) + 1
        # Built piece by piece, so that no third copy of the features is ever there.
        parts = [self._keys(part) for part in patches.features.split(1 << 16)]
        keys = torch.cat([part.to(patches.features.dtype) for part in parts])
        self._index: Index = build_index(keys, backend)

    def nearest(self, features: Tensor, k: int) -> Tensor:
        """Numbers (Q, k) of the nearest patches of features (Q, D), the nearest first."""
        queries = self._standard(features)
        if self._distance == "cosine":
            queries = F.normalize(queries, dim=1)
        else:
            queries = torch.cat([queries, queries.new_ones(len(queries), 1)], 1)
        return self._index.search(queries, k)[1]

    def vote(self, nearest: Tensor) -> Tensor:
        """Labels (Q, p²) int16 by the neighbours (Q, k)."""
        pixels = self._labels.shape[1]
        piece = max(1, _PIECE_BYTES // (4 * pixels * (self._width + nearest.shape[1])))
        parts = [most_frequent(self._labels[part], self._width) for part in nearest.split(piece)]
        return torch.cat(parts)

    def _keys(self, features: Tensor) -> Tensor:
        """What inner products with queries order as the distance does."""
        keys = self._standard(features)
        if self._distance == "cosine":
            return F.normalize(keys, dim=1)
        # -|q - x|² / 2 = q · x - |x|² / 2, but for a term of q alone
        return torch.cat([keys, -0.5 * keys.square().sum(1, keepdim=True)], 1)


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Chooses distance and number of neighbours, and scores the val part: mIoU and pixel accuracy
    in percent.

    Raises:
        ValueError: a size that the stride does not divide, a feature that is not finite (named
            image), too few train images to choose.
        MemoryError: the train patches would not fit.
    """
    backend = resolve_backend(settings.backend, extractor.device)
    patches = train_patches(
        extractor, data.train, settings, classes=data.classes, progress=progress
    )

    def fit(kept: Patches, choices: tuple[Choice, ...]) -> Iterator[tuple[Choice, Classifier]]:
        return classifiers(kept, choices, standardise=settings.standardise, backend=backend)

    choices = []
    for distance in settings.distances:
        choices += [Choice(distance, k) for k in settings.neighbours]
    chosen = choose(patches, tuple(choices), fit, settings=settings, classes=data.classes)
    ((_, classifier),) = fit(patches.labelled, (chosen.choice,))
    tally = score(extractor, data, settings, classifier=classifier, progress=progress)
    result = tally.result(NAME, facts=dict(stride=extractor.stride, backend=backend))
    result.counts["held_back_mIoU"] = dict(chosen.tried)
    result.counts["chosen"] = str(chosen.choice)
    return result


def classifiers(
    patches: Patches, choices: tuple[Choice, ...], *, standardise: bool, backend: str
) -> Iterator[tuple[Choice, Classifier]]:
    """Yields each choice with its classifier; one index at a time is there, one per distance."""
    for distance in dict.fromkeys(choice.distance for choice in choices):
        voters = Neighbours(patches, distance, standardise=standardise, backend=backend)
        for choice in choices:
            if choice.distance == distance:
                yield choice, _classifier(voters, choice.neighbours)


def _classifier(voters: Neighbours, k: int) -> Callable[[Tensor], Tensor]:
    return lambda features: voters.vote(voters.nearest(features, k))


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Mean colour and position of a patch as its feature."""
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of pixels by the labels of the nearest patches",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=SEGMENTATION_METRICS,
    quick=dict(size=(112, 112), neighbours=(10,), distances=("cosine",)),
    baselines=dict(colour_position=_colour_position),
    baseline_needs=("stride", "backend"),
)
