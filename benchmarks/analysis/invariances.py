"""Invariances: do units that fire on one image of an object fire on the others, while one factor
changes between them?

Measured for every factor that the data set varies (occlusion, viewpoint, light, instance, …): the
firing score of the 10 and of the 25 best units per class, and the same with permuted sets, which is
what a network without any invariance would get. See :mod:`benchmarks.analysis.firing` for the
formulas.

Cost: every image encoded once; O(N · D) for each factor and permutation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.analysis.firing import (
    RULES,
    Sets,
    Thresholds,
    bootstrap_over_classes,
    fire,
)
from benchmarks.analysis.invariances_figure import INVARIANCES
from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.core.vectors import require_finite
from benchmarks.data import ImageSets
from benchmarks.data.sets.image_set import FACTORS
from benchmarks.frozen.baselines import Pixels, run_stand_in
from pretrain.names import check_choice
from pretrain.progress import Progress

TOPS = (10, 25)  # units per class


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    # side of the square input in pixels, aspect not kept; None: the side of the layout's published
    # measure
    size: int | None = None
    rule: str = "official"  # or strict: when a unit fires, and which units and classes count
    permutations: int = 5  # of the sets, whose mean score is the floor
    seed: int = 0  # of the permutations
    batch_size: int = speed_only(64)  # images encoded at once

    def __post_init__(self) -> None:
        check_choice("rule", self.rule, RULES)
        for name in ("size", "permutations", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value!r} must be greater than 0")


def run(
    extractor: FeatureExtractor,
    data: ImageSets,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures scores and floors in percent; ``per_class`` holds the scores of each class, and
    ``interval`` the 95 % interval of each score over classes.

    Raises:
        ValueError: a factor without any set of three images, a network with fewer than 25 units
            that count, a vector that is not finite (named image).
    """
    factor_sets = {factor: data.sets(factor) for factor in data.factors}
    sets = {name: Sets(one.of_image, one.label) for name, one in factor_sets.items()}
    side = settings.size or data.side
    vectors = _encode(extractor, data, side, settings=settings, progress=progress)
    metrics: dict[str, Metric] = {}
    counts: dict[str, Any] = dict(per_class={}, interval={})
    for done, (factor, one) in enumerate(factor_sets.items(), start=1):
        features = vectors[one.images]
        scores, floors = score(features, sets[factor], settings=settings)
        table: dict[str, Any] = {"class": list(one.class_names)}
        for k, values in scores.items():
            name = f"{factor}_top{k}"
            metrics[name] = Metric(values.nanmean().item(), "%", "higher")
            metrics[f"{name}_floor"] = Metric(floors[k], "%", "lower")
            table[f"top{k}"] = values.tolist()
            counts["interval"][name] = list(bootstrap_over_classes(values.numpy()))
        counts["per_class"][factor] = table
        if progress:
            progress("score", done, len(factor_sets))
    return Result(metrics, counts, facts=dict(size=side))


def score(
    features: Tensor, sets: Sets, *, settings: Settings
) -> tuple[dict[int, Tensor], dict[int, float]]:
    """Scores one factor.

    Args:
        features: (N, D).
        sets: of the N images.
        settings: rule and permutations.

    Returns:
        k -> (C,) float64 scores of the classes, NaN for those that are left out; k -> the mean
        score with permuted sets. All in percent.

    Raises:
        ValueError: fewer than the largest k units count.
    """
    thresholds = Thresholds.of(features, sets.rate)
    firing = fire(features, sets, thresholds, rule=settings.rule)
    scores = {k: firing.class_scores(k) for k in TOPS}
    floors = dict.fromkeys(TOPS, 0.0)
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.permutations):
        permuted = fire(features, sets.permuted(generator), thresholds, rule=settings.rule)
        for k in TOPS:
            floors[k] += permuted.class_scores(k).nanmean().item() / settings.permutations
    return scores, floors


def _encode(
    extractor: FeatureExtractor,
    data: ImageSets,
    side: int,
    *,
    settings: Settings,
    progress: Progress | None,
) -> Tensor:
    """(N, D) float32 pooled vectors of all images of the data set, on the CPU."""
    vectors = []
    total = -(-len(data) // settings.batch_size)
    for images, ids in data.batches(side, settings.batch_size):
        encoded = extractor.vector(images).cpu()
        require_finite(encoded, ids, split=data, what="vector is")
        vectors.append(encoded)
        if progress:
            progress("encode", len(vectors), total)
    return torch.cat(vectors)


def _names(factors: Iterable[str]) -> tuple[str, ...]:
    """Of the metrics of these factors."""
    names: list[str] = []
    for factor in factors:
        for k in TOPS:
            names += [f"{factor}_top{k}", f"{factor}_top{k}_floor"]
    return tuple(names)


def _expected(data: ImageSets, settings: Settings) -> tuple[str, ...]:
    return _names(data.factors)


def _pixels(data: ImageSets, settings: Settings, *, progress: Progress | None = None) -> Result:
    return run_stand_in(run, Pixels(), data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="invariances",
    about="whether units keep firing while occlusion, viewpoint, light or the object changes",
    settings=Settings,
    run=run,
    data=ImageSets,
    metrics=_names(FACTORS),
    expected=_expected,
    quick=dict(size=64, permutations=2),
    baselines=dict(pixels=_pixels),
    figures=(INVARIANCES,),
)
