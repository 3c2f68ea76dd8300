"""Similarity of two networks' features, stage by stage: linear CKA.

Both networks see the same images in the same order, in eval mode; see
:mod:`benchmarks.analysis.similarity` for the formulas. Beside the debiased value of every stage
stand the biased one and what both give when the images of one network are permuted: the biased
floor is far above 0 with few images.

Cost: the images encoded by both networks; n · C² multiply-adds per stage (pooled).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.analysis.cka_figure import CKA
from benchmarks.analysis.images import evenly_spread, read_images
from benchmarks.analysis.references import load_reference, reference_fact
from benchmarks.analysis.similarity import MinibatchCKA, centred_products
from benchmarks.analysis.stages import stage_outputs, stage_places
from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.core.vectors import check_settings, require_finite
from benchmarks.data import ClassFolder
from benchmarks.data.class_folder import ClassSplit
from pretrain.names import check_choice
from pretrain.progress import Progress

FEATURES = ("pooled", "flattened")
_LEAST = 8  # images: of fewer, leaving one out says nothing
_QUANTILE = 1.96  # of the normal distribution, for 95 %


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    # the second network: start (the same one before its pretraining), FILE.pth, timm:NAME, …
    reference: str = "start"
    features: str = "pooled"  # a stage's map averaged over places, or flattened with them
    images: int = 2048  # validation images at most, evenly spread
    size: int = 224  # side of the square input in pixels
    # shorter side is resized to size / crop_fraction, then the centre is cut
    crop_fraction: float = 0.875
    # images whose flattened maps are compared at once; the HSICs of these groups are averaged
    group: int = 64
    seed: int = 0  # of the images' order, and of the permutation behind the floors
    batch_size: int = speed_only(64)  # images encoded at once

    def __post_init__(self) -> None:
        check_choice("features", self.features, FEATURES)
        check_settings(self, ("size", "batch_size"))
        for name in ("images", "group"):
            if getattr(self, name) < _LEAST:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {_LEAST}")


@dataclass
class Stage:
    """Sums of one stage over groups of images.

    Attributes:
        names: of the stage in the network and in the reference.
        debiased, permuted: of images beside themselves, and beside others.
        products: ``biased`` and ``floor`` -> what :func:`centred_products` gives, (3,).
    """

    names: tuple[str, str]
    debiased: MinibatchCKA = field(default_factory=MinibatchCKA)
    permuted: MinibatchCKA = field(default_factory=MinibatchCKA)
    products: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, x: Tensor, y: Tensor, order: Tensor) -> None:
        """Adds features (n, p) and (n, q) of a group; ``order`` (n,) permutes its images."""
        pairs = ((y, self.debiased, "biased"), (y[order], self.permuted, "floor"))
        for other, sums, name in pairs:
            sums.add(x, other)
            products = np.array(centred_products(x, other))
            self.products[name] = self.products.get(name, 0) + products

    def row(self) -> dict[str, Any]:
        """The stage's numbers; ``half`` is half of the 95 % interval over images.

        Raises:
            ValueError: features that do not vary enough to be compared.
        """
        values = self.debiased.per_image()
        if not torch.isfinite(values).all():
            raise ValueError(
                f"stage {self.names[0]}: the features of one of the networks hardly differ between "
                "images, so CKA is not defined; did training collapse? If not, take more images="
            )
        half = _QUANTILE * float(values.std() / len(values) ** 0.5)
        cross = {name: float(a / (b * c) ** 0.5) for name, (a, b, c) in self.products.items()}
        own = dict(debiased=self.debiased.value, half=half, permuted=self.permuted.value)
        return dict(stage=self.names[0], reference_stage=self.names[1]) | own | cross


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Compares the stages of a network with those of its reference.

    Metrics: ``mean`` over stages of the debiased value, and that of the ``first`` and the ``last``;
    means over stages of the ``biased`` value, of its ``floor`` (images of one network permuted)
    and of the debiased value ``permuted`` likewise.

    Raises:
        ValueError: fewer than 8 images, networks of different numbers of stages, a stage that gives
            the same for all images, or features that are not finite (named image).
        FileNotFoundError: no such file of a reference.
    """
    reference = load_reference(extractor, settings.reference)
    networks = (extractor, reference)
    stages = _stages(*networks)
    groups = _groups(len(data.val), settings)
    for number, chosen in enumerate(groups):
        order = np.random.default_rng([settings.seed, number]).permutation(len(chosen))
        features = _features(networks, data.val, settings, chosen=chosen)
        for stage, x, y in zip(stages, *features, strict=True):
            stage.add(x, y, torch.from_numpy(order))
        if progress:
            progress("compare", number + 1, len(groups))
    rows = [stage.row() for stage in stages]
    facts = dict(
        reference=reference_fact(settings.reference, reference), compared=sum(map(len, groups))
    )
    return Result(
        _metrics(rows),
        dict(per_image=_per_image(stages, groups), per_stage=rows),
        facts=facts,
        subject=dict(reference=reference.describe()),
    )


def _stages(extractor: FeatureExtractor, reference: FeatureExtractor) -> list[Stage]:
    """The stages of both networks in pairs, in their order."""
    own, other = stage_places(extractor), stage_places(reference)
    if len(own) != len(other):
        raise ValueError(
            f"{extractor.spec} has {len(own)} stages ({', '.join(own)}), {reference.spec} has "
            f"{len(other)} ({', '.join(other)}): they are compared in pairs; name a reference= of "
            "as many stages"
        )
    return list(map(Stage, zip(own, other, strict=True)))


def _groups(images: int, settings: Settings) -> list[np.ndarray]:
    """Numbers of the images that are compared at once, shuffled, since class folders come class by
    class.
    """
    chosen = np.array(evenly_spread(images, settings.images))
    if len(chosen) < _LEAST:
        raise ValueError(f"the val part has {images} images; CKA needs at least {_LEAST}")
    shuffled = np.random.default_rng(settings.seed).permutation(chosen)
    count = len(chosen) // settings.group if settings.features == "flattened" else 1
    return np.array_split(shuffled, max(1, count))


def _features(
    networks: tuple[FeatureExtractor, ...],
    split: ClassSplit,
    settings: Settings,
    *,
    chosen: np.ndarray,
) -> list[list[Tensor]]:
    """For each network, each stage: features (n, p) of the chosen images, float32 on the CPU."""
    pieces: list[list[list[Tensor]]] = [[] for _ in networks]
    crop = dict(size=settings.size, crop_fraction=settings.crop_fraction)
    for start in range(0, len(chosen), settings.batch_size):
        ids = chosen[start : start + settings.batch_size].tolist()
        images = read_images(split, ids, **crop)
        for network, encoded in zip(networks, pieces, strict=True):
            outputs = []
            for output in stage_outputs(network, images):
                pooled = output.mean((2, 3)) if settings.features == "pooled" else output.flatten(1)
                outputs.append(pooled.float().cpu())
                require_finite(outputs[-1], ids, split=split, what="features are")
            encoded.append(outputs)
    return [list(map(torch.cat, zip(*encoded, strict=True))) for encoded in pieces]


def _metrics(rows: list[dict[str, Any]]) -> dict[str, Metric]:
    """Numbers of the stages' rows; see :func:`run`."""

    def mean(name: str) -> float:
        return sum(row[name] for row in rows) / len(rows)

    values = dict(
        mean=mean("debiased"),
        first=rows[0]["debiased"],
        last=rows[-1]["debiased"],
        biased=mean("biased"),
        floor=mean("floor"),
        permuted=mean("permuted"),
    )
    return {name: Metric(value, "1", "higher") for name, value in values.items()}


def _per_image(stages: list[Stage], groups: list[np.ndarray]) -> dict[str, list]:
    """What each image has part in, in the images' order: intervals over images follow from it."""
    order = np.argsort(np.concatenate(groups))
    values = torch.stack([stage.debiased.per_image() for stage in stages]).numpy()[:, order]
    columns = dict(mean=values.mean(0), first=values[0], last=values[-1])
    images = np.concatenate(groups)[order].tolist()
    return dict(image=images) | {name: column.tolist() for name, column in columns.items()}


BENCHMARK = Benchmark(
    name="cka",
    about="how alike the features of each stage are to those of a second network",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("mean", "first", "last", "biased", "floor", "permuted"),
    quick=dict(size=96, images=256),
    figures=(CKA,),
)
