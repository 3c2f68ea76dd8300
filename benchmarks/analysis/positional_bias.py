"""Positional bias: how much of a cell's feature is explained by its place alone.

:mod:`benchmarks.core.place` has the formulas. A cell (r, c) of a grid (R, C) has the coordinates
r/(R − 1), c/(C − 1).

- ``R2``: ridge regression, fitted on cells of train images, reads the coordinates out of cells of
  val images; R² of each coordinate, and their mean. 1 = the place is fully readable; below 0 it is
  read worse than the middle of the image would be.
- ``share``: of the val features' variance, between positions; corrected so that 0 is chance.
- ``…_permuted``: the same of the same images when every image's positions are permuted by its own
  fixed permutation. What is left there is no knowledge of place.
- ``R2_removed``: R² after ``rounds`` times the plane was removed in which ridge reads the
  coordinates, each time fitted anew on what is left.
- ``R2_black``: R² of unit cells without the directions in which cells of a black image differ.

A removal also removes content that goes with place (the sky is up); the permutation does not show
that. Cost: the images encoded once, cells · D² for the sums. Labels are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.analysis.positional_bias_figure import FIGURE
from benchmarks.analysis.stand_ins import Noise, Places
from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of, require_grid
from benchmarks.core.place import (
    BlackBasis,
    Linear,
    Moments,
    coordinates,
    plane_of,
    ridge,
    share_of_place,
)
from benchmarks.core.record import Metric
from benchmarks.core.vectors import require_finite
from benchmarks.data import SegmentationFolder
from benchmarks.data.pairs import PairSplit
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from pretrain.progress import Progress

_PER_IMAGE = ("R2", "R2_row", "R2_column", "R2_permuted", "R2_removed", "R2_black")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: tuple[int, int] = (224, 224)  # (H, W) input in pixels, aspect ratio not kept
    images: int = 1000  # of each part at most, evenly spread
    penalty: float = 1e-3  # λ of ridge, on channels of variance 1 and the mean over cells
    rounds: int = 9  # planes that are removed one after the other; 9 as in RASA
    black_directions: int = 20  # of a black image's cells, the strongest; 20 as INSID3 for SPair
    seed: int = 0  # of the permutations
    batch_size: int = speed_only(32)  # images encoded at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        for name in ("images", "batch_size", "penalty"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")
        for name in ("rounds", "black_directions"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be 0 or more")
        if min(self.size) < 1:
            raise ValueError(f"size={self.size} must be greater than 0")


class Cells(NamedTuple):
    """The cells of one image, P of them, as a network gives them.

    Attributes:
        image: its number.
        plain: (P, D) float64.
        cleaned: (P, D) of length 1, without a black image's directions.
        order: (P,) int64, the position that each cell gets by the image's permutation.
    """

    image: int
    plain: Tensor
    cleaned: Tensor
    order: Tensor


@dataclass(frozen=True)
class Readers:
    """What reads the coordinates out of cells, fitted on train images.

    Attributes:
        plain: after 0, 1, … planes were removed; each reads cells as they are.
        permuted: fitted on permuted positions.
        cleaned: fitted on cells without a black image's directions.
        removed: percent of the variance of cells that lies in the planes, after 0, 1, … of them.
    """

    plain: list[Linear]
    permuted: Linear
    cleaned: Linear
    removed: list[float]


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures positional bias; counts give R² image by image, and by planes removed.

    Raises:
        ValueError: size and stride that do not fit, a grid of one row or column, a single val
            image, a feature that is not finite (named image).
    """
    source = _Source(extractor, settings)
    if min(len(data.val), settings.images) < 2:
        raise ValueError(
            f"images={settings.images} of {len(data.val)} val images: at least 2 are needed, "
            "since the share is one between images"
        )
    readers = fit(source.cells(data.train, 0, progress), source.places, settings)
    metrics, counts = score(source.cells(data.val, 1, progress), source.places, readers)
    facts = dict(stride=extractor.stride, compared=len(counts["per_image"]["image"]))
    return Result(metrics, counts, facts=facts)


class _Source:
    """Gives the cells of images."""

    def __init__(self, extractor: FeatureExtractor, settings: Settings) -> None:
        self.grid = grid_of(settings.size, extractor.stride)
        self.places = coordinates(self.grid)  # (P, 2)
        self.extractor, self.settings = extractor, settings
        black = torch.zeros(1, 3, *settings.size, dtype=torch.uint8)
        self.black = BlackBasis.of(extractor.maps(black).cpu(), settings.black_directions)

    def cells(self, split: PairSplit, part: int, progress: Progress | None) -> Iterator[Cells]:
        """Yields the images of a part, of which ``part`` is the number."""
        count = min(len(split), self.settings.images)
        ids = np.arange(count) * len(split) // count
        for start in range(0, count, self.settings.batch_size):
            batch = ids[start : start + self.settings.batch_size].tolist()
            maps = self.extractor.maps(split.take(batch, self.settings.size).images).cpu()
            require_grid(maps.shape[2:], self.grid, self.extractor.stride)
            require_finite(maps.flatten(1), batch, split=split, what="features are")
            cleaned_maps = self.black.clean(maps.double())
            for image, own, cleaned in zip(batch, maps, cleaned_maps, strict=True):
                draw = np.random.default_rng([self.settings.seed, part, image])
                order = torch.from_numpy(draw.permutation(len(self.places)))
                yield Cells(image, own.double().flatten(1).T, cleaned.flatten(1).T, order)
            if progress:
                progress(("fit", "score")[part], start + len(batch), count)


def fit(images: Iterator[Cells], places: Tensor, settings: Settings) -> Readers:
    """Fits all readers in one pass over train images.

    Args:
        images: their cells.
        places: (P, 2) coordinates.
        settings: ``penalty`` and ``rounds``.
    """
    first = next(images)
    plain, permuted, cleaned = (Moments(first.plain.shape[1], 2) for _ in range(3))
    for cells in chain([first], images):
        plain.add(cells.plain, places)
        permuted.add(cells.plain, places[cells.order])
        cleaned.add(cells.cleaned, places)
    readers, variance = [ridge(plain, settings.penalty)], plain.covariance
    planes, removed = variance[:, :0], [0.0]
    for _ in range(settings.rounds):
        planes = torch.cat([planes, plane_of(readers[-1].weight)], 1)
        readers.append(ridge(plain, settings.penalty, without=planes))
        inside = torch.trace(planes.T @ variance @ planes) / torch.trace(variance)
        removed.append(100 * float(inside))
    others = (ridge(permuted, settings.penalty), ridge(cleaned, settings.penalty))
    return Readers(readers, *others, removed)


def score(
    images: Iterator[Cells], places: Tensor, readers: Readers
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Metrics and counts of val images, see the module.

    Args:
        images: their cells.
        places: (P, 2) coordinates.
        readers: fitted on train images.
    """
    numbers, courses, controls = [], [], []
    sums, permuted_sums, squares = 0.0, 0.0, 0.0
    for cells in images:
        numbers.append(cells.image)
        courses.append(
            torch.stack([r_squared(read(cells.plain), places) for read in readers.plain])
        )
        permuted = r_squared(readers.permuted(cells.plain), places[cells.order])
        controls.append(torch.stack([permuted, r_squared(readers.cleaned(cells.cleaned), places)]))
        sums = sums + cells.plain
        permuted_sums = permuted_sums + cells.plain[cells.order.argsort()]
        squares += float(cells.plain.square().sum())
    course, control = torch.stack(courses), torch.stack(controls).mean(2)  # (n, rounds + 1, 2)
    columns = dict(
        R2=course[:, 0].mean(1),
        R2_row=course[:, 0, 0],
        R2_column=course[:, 0, 1],
        R2_permuted=control[:, 0],
        R2_removed=course[:, -1].mean(1),
        R2_black=control[:, 1],
    )
    metrics = {name: Metric(float(column.mean()), "1", "lower") for name, column in columns.items()}
    share, chance, corrected = share_of_place(sums / len(numbers), squares, len(numbers))
    control_share = share_of_place(permuted_sums / len(numbers), squares, len(numbers))[2]
    metrics["share"] = Metric(100 * corrected, "%", "lower")
    metrics["share_permuted"] = Metric(100 * control_share, "%", "lower")
    table = {name: column.tolist() for name, column in columns.items()}
    counts = dict(
        per_image=dict(image=numbers) | table,
        R2_by_planes=course.mean((0, 2)).tolist(),
        removed_by_planes=readers.removed,
        share_uncorrected=100 * share,
        share_by_chance=100 * chance,
    )
    return metrics, counts


def r_squared(predicted: Tensor, truth: Tensor) -> Tensor:
    """R² of each coordinate, (2,), of the P cells of one image (P, 2): since every image has the
    same coordinates, the mean over images is that of all cells.
    """
    spread = (truth - truth.mean(0)).square().sum(0)
    return 1 - (truth - predicted).square().sum(0) / spread


def _stand_in(
    kind: Callable[[int], Any],
    data: SegmentationFolder,
    settings: Settings,
    *,
    stride: int,
    progress: Progress | None = None,
) -> Result:
    return run_stand_in(run, kind(stride), data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="positional_bias",
    about="how much of a cell is explained by its place alone",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=(*_PER_IMAGE, "share", "share_permuted"),
    quick=dict(size=(128, 128), images=100),
    baselines=dict(
        position=partial(_stand_in, Places),
        noise=partial(_stand_in, Noise),
        colour_position=partial(_stand_in, ColourPosition),
    ),
    baseline_needs=("stride",),
    figures=(FIGURE,),
)
