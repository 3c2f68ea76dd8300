"""Depth by dense nearest-neighbour retrieval: the benchmark ``retrieval`` with depths in place of
classes.

A memory entry's label is the p² depths of its patch, in metres, and ŷ = Σ_j softmax(s / β)_j · L_j
are the p² depths of a query patch, laid out again as pixels: nothing is upsampled. Scores, over the
pixels of known depth of the whole part:

    RMSE = √(mean (ŷ - y)²) in metres,   δ₁ = share of pixels with max(ŷ / y, y / ŷ) < 1.25

Balazevic et al. 2023 (arXiv 2306.01667). Two choices of ours, because the paper names none: the
unknown depths of a stored patch are the mean of its known ones (a patch without any is not stored),
and a bounded memory draws the patches of an image evenly, since there are no rare classes to
prefer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of
from benchmarks.core.neighbours import backend_of_networks
from benchmarks.core.record import Metric, require_defined
from benchmarks.data import DepthFolder
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen import retrieval
from benchmarks.frozen.baselines import (
    ColourPosition,
    DepthByPlace,
    run_stand_in,
    score_everywhere,
)
from benchmarks.frozen.retrieval.label import facts_of, fill_memory
from benchmarks.frozen.retrieval.run import QUICK, counted_batches
from pretrain.names import check_choice
from pretrain.progress import Progress

NEEDED = "the val part must hold known depths (check depth=), and predictions must be finite"
# the quirks of retrieval that have a meaning without classes
COMPAT = ("blue-std-0.255", "crop-scale-2")


@dataclass(frozen=True)
class Settings(retrieval.MemorySettings):
    """The settings of the memory; of the quirks only ``COMPAT``. Labels take 4 · p² bytes for each
    of its entries.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        for quirk in self.compat:
            check_choice("compat", quirk, COMPAT)


@dataclass(frozen=True)
class DepthLabels:
    """The depths of a patch in metres, row by row; float32, so that a patch retrieved alone comes
    back to the bit.

    Attributes:
        stride: p.
    """

    stride: int
    word: ClassVar[str] = "depths"
    dtype: ClassVar[torch.dtype] = torch.float32

    @property
    def width(self) -> int:
        """p²."""
        return self.stride**2

    def __call__(self, masks: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Cuts depth maps (B, H, W) float32 metres, 0 = unknown, into patches.

        Returns:
            Known pixels (B, h·w, 1) int64 and depths (B, h·w, p²), unknown ones filled by the mean
            of the patch.
        """
        pixels = F.pixel_unshuffle(masks[:, None], self.stride)  # (B, p², h, w)
        patches = pixels.flatten(2).transpose(1, 2)  # (B, h·w, p²)
        known = patches > 0
        counts = known.sum(-1, keepdim=True)
        means = patches.sum(-1, keepdim=True) / counts.clamp_min(1)
        return counts, torch.where(known, patches, means)


class DepthTally:
    """Adds up errors image by image; holds three numbers per image, never predictions."""

    def __init__(self) -> None:
        self._images: dict[int, tuple[float, int, int]] = {}

    def add(self, prediction: Tensor, target: Tensor, image: int) -> None:
        """Counts one image.

        Args:
            prediction: (H, W) metres, > 0.
            target: (H, W) metres, 0 = unknown.
            image: Its index.
        """
        known = target > 0
        # double: squares add up over millions of pixels
        predicted, true = prediction[known].double(), target[known].double()
        within = torch.maximum(predicted / true, true / predicted) < 1.25
        self._images[image] = (
            float(((predicted - true) ** 2).sum()),
            int(within.sum()),
            int(known.sum()),
        )

    def add_batch(self, depths: Tensor, batch: LabelledBatch) -> None:
        """Counts decoded patches (B, p², h, w) of a batch."""
        predictions = F.pixel_shuffle(depths, round(depths.shape[1] ** 0.5))[:, 0]  # (B, H, W)
        masks = batch.masks.to(depths.device)
        for prediction, target, image in zip(predictions, masks, batch.ids, strict=True):
            self.add(prediction, target, image)

    def gather(self) -> None:
        """Takes over the images of all processes."""
        everyone: list[dict] = [{}] * dist.get_world_size()
        dist.all_gather_object(everyone, self._images)
        for part in everyone:
            self._images |= part

    def per_image(self) -> dict[str, list]:
        """Columns image, squared_error (m², summed over pixels), within (pixels), known (pixels);
        by image.
        """
        table: dict[str, list] = {"image": sorted(self._images)}
        for column, name in enumerate(("squared_error", "within", "known")):
            table[name] = [self._images[image][column] for image in table["image"]]
        return table

    def metrics(self) -> dict[str, Metric]:
        """RMSE in metres and δ₁ in percent.

        Raises:
            ValueError: no depth is known, or a prediction is not finite.
        """
        sums = {name: sum(column) for name, column in self.per_image().items()}
        known = sums["known"] or math.nan
        metrics = {
            "RMSE": Metric(math.sqrt(sums["squared_error"] / known), "m", "lower"),
            "delta1": Metric(100 * sums["within"] / known, "%", "higher"),
        }
        return require_defined("depth", metrics, NEEDED)


def run(
    extractor: FeatureExtractor,
    data: DepthFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
    distributed: bool = False,
) -> Result:
    """Runs depth retrieval; arguments, cost and errors as in
    :func:`benchmarks.frozen.retrieval.run.run`.

    Returns:
        RMSE (metres) and delta1 (percent); counts per image.
    """
    labeller = fill_memory(
        extractor,
        data.train,
        settings,
        labelling=DepthLabels(extractor.stride),
        progress=progress,
        distributed=distributed,
    )
    tally = DepthTally()
    for depths, batch in labeller.label(data.val, progress):
        tally.add_batch(depths, batch)
    if distributed:
        tally.gather()
    counts = dict(per_image=tally.per_image())
    return Result(tally.metrics(), counts, labeller.cost, labeller.facts)


def _by_place(
    data: DepthFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    progress: Progress | None = None,
) -> Result:
    """The mean depth that the memory was shown, of all pixels or at the same pixel."""
    depths, effective = DepthByPlace(settings.size), 0
    grid, labelling = grid_of(settings.size, stride), DepthLabels(stride)
    for batch, stored in counted_batches(
        data, settings, grid=grid, labelling=labelling, progress=progress
    ):
        depths.add(batch.masks)
        effective += stored
    tally = DepthTally()
    prediction = depths.prediction(everywhere=everywhere)
    score_everywhere(tally, prediction, split=data.val, settings=settings, progress=progress)
    backend = backend_of_networks(settings.backend)
    facts = facts_of(settings, stride=stride, backend=backend, effective=effective)
    return Result(tally.metrics(), dict(per_image=tally.per_image()), facts=facts)


def _colour_position(
    data: DepthFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Depth retrieval with mean colour and position of a patch as its feature."""
    settings = replace(settings, backend=backend_of_networks(settings.backend))
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="depth",
    about="depth of patches by dense nearest neighbours",
    settings=Settings,
    run=run,
    data=DepthFolder,
    metrics=("RMSE", "delta1"),
    quick=QUICK,
    baselines=dict(
        mean=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=_colour_position,
    ),
    baseline_needs=("stride", "backend"),
    distributed=True,
    upsampled_stride=4,
)
