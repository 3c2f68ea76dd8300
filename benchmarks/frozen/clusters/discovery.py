"""Object discovery: does one of a few clusters of an image's own cells cover each object?

The unit cells of every image are clustered by themselves. For each class in its mask that is an
object, the best IoU of the image's clusters counts; the mean over an image's classes, then over
images, is the best overlap (Wen et al. 2025, arXiv 2503.06960, score slots of a trained head so).
One image knows nothing of the others, and no label is used to find the clusters.

CorLoc asks for one box: around the largest connected part of the cluster that touches the image's
border least. It is right if its IoU with the box of any object, a connected part of a class, is
above one half. How the published CorLoc of others choose their box is another matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of, require_directions, require_grid
from benchmarks.core.record import Metric, require_defined
from benchmarks.data import SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.data.loading import resize_mask
from benchmarks.frozen.baselines import ColourPosition, batches_of, run_stand_in
from benchmarks.frozen.clusters.boxes import boxes_of, located, object_box
from benchmarks.frozen.clusters.k_means import KMeans
from pretrain.progress import Progress

NAME = "discovery"
METRICS = ("best_overlap", "CorLoc")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: tuple[int, int] = (224, 224)  # (H, W) input in pixels, aspect ratio not kept
    clusters: int = 5  # of each image
    iterations: int = 100  # of k-means
    restarts: int = 5  # of which the one of least inertia is kept
    seed: int = 0  # of k-means
    background: bool = False  # class 0 is an object like the others
    # pixels that count nowhere still belong to a cluster's union, as in the released program
    void_counts: bool = False
    batch_size: int = speed_only(16)  # images encoded at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2 or min(self.size) < 1 or self.batch_size < 1:
            raise ValueError(
                f"size={self.size} must be (height, width) in pixels, batch_size="
                f"{self.batch_size!r} at least 1"
            )
        self.k_means()

    def k_means(self) -> KMeans:
        """How the cells of an image are clustered."""
        return KMeans(
            clusters=self.clusters,
            iterations=self.iterations,
            restarts=self.restarts,
            points_per_cluster=0,
            seed=self.seed,
        )


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs object discovery: ``METRICS`` in percent, and those of every image.

    Raises:
        ValueError: size and stride do not fit, a feature that is zero or not finite (named image),
            fewer cells than clusters, no object in any mask.
    """
    grid, k_means = grid_of(settings.size, extractor.stride), settings.k_means()
    tally = _Tally(settings)
    for batch in data.val.batches(settings.size, settings.batch_size):
        maps = extractor.maps(batch.images).cpu()
        require_grid(maps.shape[2:], grid, extractor.stride)
        require_directions(maps.norm(dim=1), batch.ids, data.val.name)
        cells = F.normalize(maps, dim=1).flatten(2).transpose(1, 2)  # (B, h·w, D)
        for image, own, mask in zip(batch.ids, cells, batch.masks.numpy(), strict=True):
            labels = k_means(own)[0].view(grid)
            tally.add(image, _masks(labels, settings), mask)
        if progress:
            progress("discover", len(tally.images), len(data.val))
    return tally.result(stride=extractor.stride)


class _Tally:
    """Adds up images; those without an object have no part in it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.images: list[int] = []
        self._values: dict[str, list[float]] = {name: [] for name in METRICS}

    def add(self, image: int, masks: np.ndarray, true: np.ndarray) -> None:
        """Counts masks (n, H, W) bool of an image with classes (H, W)."""
        self.images.append(image)
        boxes = []
        for own in _objects(true, self._settings):
            boxes += boxes_of(own)
        overlap = best_overlap(masks, true, self._settings)
        right = float(located(object_box(masks), boxes)) if boxes else float("nan")
        for name, value in zip(METRICS, (overlap, right), strict=True):
            self._values[name].append(100 * value)

    def result(self, *, stride: int) -> Result:
        """Means over the images with an object."""
        metrics = {}
        for name, values in self._values.items():
            known = np.array(values)[np.isfinite(values)]
            mean = float(known.mean()) if len(known) else float("nan")
            metrics[name] = Metric(mean, "%", "higher")
        require_defined(NAME, metrics, "no mask shows an object")
        counts = dict(per_image=dict(image=self.images) | self._values)
        return Result(metrics, counts, facts=dict(stride=stride))


def _objects(true: np.ndarray, settings: Settings) -> list[np.ndarray]:
    """Masks (H, W) bool of the classes of an image that are objects."""
    labels = np.unique(true)
    left_out = (IGNORE,) if settings.background else (IGNORE, 0)
    return [true == label for label in labels if label not in left_out]


def best_overlap(masks: np.ndarray, true: np.ndarray, settings: Settings) -> float:
    """Mean over an image's objects of the largest IoU with a mask; NaN without an object.

    Args:
        masks: (n, H, W) bool.
        true: (H, W) classes, ``IGNORE`` where nothing counts.
        settings: ``background`` and ``void_counts``.
    """
    scored = np.ones(true.shape, bool) if settings.void_counts else true != IGNORE
    best = []
    for own in _objects(true, settings):
        shared = (masks & own).sum((1, 2))
        best.append(float((shared / ((masks | own) & scored).sum((1, 2))).max()))
    return float(np.mean(best)) if best else float("nan")


def _masks(labels: Tensor, settings: Settings) -> np.ndarray:
    """(K, H, W) bool of clusters (h, w) of cells."""
    shown = resize_mask(labels.numpy(), settings.size)
    return shown == np.arange(settings.clusters)[:, None, None]


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Clusters of mean colour and position of a patch."""
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


def _whole(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """The whole image as one cluster."""
    tally = _Tally(settings)
    for batch in batches_of(data.val, settings, phase="score", progress=progress):
        for image, mask in zip(batch.ids, batch.masks.numpy(), strict=True):
            tally.add(image, np.ones((1, *mask.shape), bool), mask)
    return tally.result(stride=stride)


BENCHMARK = Benchmark(
    name=NAME,
    about="objects covered by a cluster of the image's own cells",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=METRICS,
    quick=dict(size=(128, 128), restarts=1),
    baselines=dict(whole=_whole, colour_position=_colour_position),
    baseline_needs=("stride",),
    upsampled_stride=8,
)
