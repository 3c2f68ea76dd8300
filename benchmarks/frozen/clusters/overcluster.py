"""Overclustering: do clusters of frozen cells follow the classes of masks?

The cells of all val images are clustered together by k-means, without a label. Each cluster then
becomes a class by the labels of its own pixels, and the result is scored as segmentation
(Ziegler and Asano 2022, arXiv 2204.13101; Pariza et al. 2024, arXiv 2408.11054). Since labels name
the clusters, many clusters flatter: only numbers of equal K compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.scores import SEGMENTATION_METRICS, SegmentationTally
from benchmarks.data import SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.loading import resize_mask
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.clusters.cells import Maps, principal_cells
from benchmarks.frozen.clusters.k_means import KMeans
from benchmarks.frozen.clusters.matching import MATCHINGS, classes_of
from pretrain.names import check_choice
from pretrain.progress import Progress

NAME = "overcluster"


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network. The defaults are NeCo's."""

    size: tuple[int, int] = (448, 448)  # (H, W) input in pixels, aspect ratio not kept
    mask_size: tuple[int, int] = (100, 100)  # (H, W) at which clusters and masks are compared
    clusters: int = 500  # K; where it is the number of classes, matching belongs to hungarian
    components: int = 50  # principal components of the standardised cells; 0 = all channels
    clustering: str = "faiss"  # faiss, or spread: our k-means++
    iterations: int = 100  # of k-means
    restarts: int = 5  # of which the one of least inertia is kept
    # k-means is fitted to at most so many cells times K, drawn at random; 0 = to all
    points_per_cluster: int = 256
    # precision: the class of most of a cluster's pixels; iou: that of the largest IoU;
    # hungarian: one cluster per class, the others are background
    matching: str = "precision"
    # classes that no mask has take part: a cluster each in hungarian, an IoU of 0 in the mean
    absent_classes: bool = False
    seed: int = 0  # of k-means
    batch_size: int = speed_only(16)  # images encoded at once

    def __post_init__(self) -> None:
        for name in ("size", "mask_size"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 2 or min(getattr(self, name)) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be (height, width) in pixels")
        if self.batch_size < 1 or self.components < 0:
            raise ValueError(
                f"batch_size={self.batch_size!r} must be at least 1, components="
                f"{self.components!r} at least 0"
            )
        check_choice("matching", self.matching, MATCHINGS)
        self.k_means()

    def k_means(self) -> KMeans:
        """How cells are clustered."""
        return KMeans(
            clusters=self.clusters,
            kind=self.clustering,
            iterations=self.iterations,
            restarts=self.restarts,
            points_per_cluster=self.points_per_cluster,
            seed=self.seed,
        )


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs overclustering: mIoU and pixel accuracy in percent; counts also hold the inertia.

    Cost beside the encoding: restarts · iterations · cells · K · components multiply-adds.

    Raises:
        ValueError: size and stride do not fit, a feature that is not finite (named image), fewer
            cells than clusters.
    """
    maps = Maps(
        extractor,
        data.val,
        size=settings.size,
        batch_size=settings.batch_size,
        progress=progress,
    )
    cells = principal_cells(maps, settings.components)
    labels, inertia = settings.k_means()(cells.flatten(0, 1))
    clusters = labels.view(len(cells), *maps.grid)
    result = score(clusters, data, settings)
    facts = dict(stride=extractor.stride)
    return Result(result.metrics, result.counts | dict(inertia=inertia), facts=facts)


def score(clusters: Tensor, data: SegmentationFolder, settings: Settings) -> Result:
    """Names the clusters (images, h, w) of the val images by classes and scores them."""
    table = np.zeros((settings.clusters, data.classes), np.int64)
    for _, shown, mask in _compared(clusters, data, settings):
        valid = mask != IGNORE
        pairs = shown[valid].astype(np.int64) * data.classes + mask[valid]
        table += np.bincount(pairs, minlength=table.size).reshape(table.shape)
    classes = classes_of(table, settings.matching, absent_classes=settings.absent_classes)
    tally = SegmentationTally(data.classes)
    for image, shown, mask in _compared(clusters, data, settings):
        tally.add(torch.from_numpy(classes[shown]), torch.from_numpy(mask), image)
    return tally.result(NAME, facts={}, absent_as_zero=settings.absent_classes)


def _compared(
    clusters: Tensor, data: SegmentationFolder, settings: Settings
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yields number, clusters and mask of each val image at the size at which they are compared."""
    for batch in data.val.batches(settings.size, settings.batch_size):
        for image, mask in zip(batch.ids, batch.masks.numpy(), strict=True):
            shown = resize_mask(clusters[image].numpy(), settings.mask_size)
            yield image, shown, resize_mask(mask, settings.mask_size)


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Clusters of mean colour and position of a patch."""
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name=NAME,
    about="clusters of cells named by classes",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=SEGMENTATION_METRICS,
    quick=dict(size=(128, 128), mask_size=(64, 64), clusters=50, components=20, restarts=1),
    baselines=dict(colour_position=_colour_position),
    baseline_needs=("stride",),
    upsampled_stride=8,
)
