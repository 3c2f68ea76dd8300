"""Dense structure of one network: the three parts of DSE, which chooses checkpoints without labels.

:mod:`pretrain.hooks.dense_structure` has the formulas. Groups of ``group`` images that lie far
apart in the data are clustered together, ``clusters`` clusters each, and M_inter and M_intra are
means over groups; M_dim is that of cells drawn from all images. DSE itself needs the checkpoints of
a run, see :mod:`benchmarks.analysis.along_training`. Labels are not read.

Cost: the images encoded twice (maps, vectors); k-means of rounds · cells · clusters · D.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.analysis.dense_structure_figure import FIGURE
from benchmarks.analysis.stand_ins import Noise
from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of, require_directions, require_grid
from benchmarks.core.record import Metric
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from pretrain.hooks.dense_structure import Structure, dimension, measure_group, spread_groups
from pretrain.hooks.feature_statistics import effective_rank, rank_me
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: tuple[int, int] = (224, 224)  # (H, W) input in pixels, aspect ratio not kept
    # of the val part at most, evenly spread, rounded down to whole groups
    images: int = 2048
    group: int = 8  # images whose cells are clustered together
    clusters: int = 24  # of each group: 3 for an image
    rank_cells: int = 2048  # cells whose dimensions are counted, equally many of each image
    seed: int = 0  # of the starts of k-means and of the cells

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        least = dict(group=1, clusters=2, images=self.group, rank_cells=2)
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                why = " (group)" if name == "images" else ""
                raise ValueError(f"{name}={getattr(self, name)} must be at least {smallest}{why}")
        if min(self.size) < 1:
            raise ValueError(f"size={self.size} must be greater than 0")


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures the parts, and the ranks that are to be compared with them.

    Counts give intervals over groups of images: every image stands with the value of its group.

    Raises:
        ValueError: fewer images than a group, fewer cells in a group than clusters, size and stride
            that do not fit, a feature that is zero or not finite (named image).
    """
    if len(data.val) < settings.group:
        raise ValueError(
            f"group={settings.group}, but the val part has {len(data.val)} images; use a smaller "
            "group"
        )
    groups = spread_groups(len(data.val), images=settings.images, group=settings.group)
    options = dict(
        clusters=settings.clusters, each=-(-settings.rank_cells // groups.size), seed=settings.seed
    )
    grid = grid_of(settings.size, extractor.stride)
    if settings.clusters > settings.group * grid[0] * grid[1]:
        raise ValueError(
            f"clusters={settings.clusters}, but a group of {settings.group} images has "
            f"{settings.group * grid[0] * grid[1]} cells at this size; use fewer clusters, more "
            "images in a group or larger images"
        )
    parts, drawn, vectors = [], [], []
    for number, ids in enumerate(groups):
        images = data.val.take(ids, settings.size).images
        maps = extractor.maps(images)
        require_grid(maps.shape[2:], grid, extractor.stride)
        require_directions(maps.norm(dim=1), ids, data.val.name)
        own_parts, cells = measure_group(maps, number, **options)
        parts.append(own_parts)
        drawn.append(cells.cpu())
        vectors.append(extractor.vector(images).cpu())
        if progress:
            progress("cluster", number + 1, len(groups))
    structure = Structure(*np.mean(parts, 0).tolist(), dimension(torch.cat(drawn)))
    metrics = metrics_of(structure)
    metrics["cell_rank"] = Metric(effective_rank(torch.cat(drawn)), "1", "higher")
    metrics["rank_me"] = Metric(rank_me(torch.cat(vectors)), "1", "higher")
    counts = _counts(groups, np.array(parts), images=len(data.val))
    return Result(metrics, counts, facts=dict(stride=extractor.stride, compared=groups.size))


def metrics_of(structure: Structure) -> dict[str, Metric]:
    """The three parts, and the class part that DSE adds to the weighted dimension."""
    return dict(
        class_part=Metric(structure.class_part, "1", "higher"),
        inter=Metric(structure.inter, "1", "higher"),
        intra=Metric(structure.intra, "1", "lower"),
        dimension=Metric(structure.dimension, "1", "higher"),
    )


def _counts(groups: np.ndarray, parts: np.ndarray, *, images: int) -> dict[str, Any]:
    """Every image with the values of its group, and the groups as what is drawn together."""
    order = np.argsort(groups.ravel())
    numbers = np.repeat(np.arange(len(groups)), groups.shape[1])[order]
    inter, intra = parts[numbers].T
    together = np.arange(len(groups), len(groups) + images)  # images that stand for themselves
    together[groups.ravel()[order]] = numbers
    table = dict(
        image=groups.ravel()[order].tolist(),
        inter=inter.tolist(),
        intra=intra.tolist(),
        class_part=(inter - intra).tolist(),
    )
    return dict(per_image=table, groups=together.tolist())


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    return run_stand_in(
        run, ColourPosition(stride), data=data, settings=settings, progress=progress
    )


def _noise(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Random directions: the highest rank there is, and no structure."""
    network = Noise(stride, seed=settings.seed)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="dense_structure",
    about="clusters and dimensions of cells, the parts of DSE",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=("class_part", "inter", "intra", "dimension", "cell_rank", "rank_me"),
    quick=dict(size=(128, 128), images=128),
    baselines=dict(colour_position=_colour_position, noise=_noise),
    baseline_needs=("stride",),
    figures=(FIGURE,),
)
