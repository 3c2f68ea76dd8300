"""Semantic correspondence: does a keypoint's feature find the same part of another object?

The images are resized to one size and encoded. For a keypoint of the source image, take the feature
f of the cell it lies in; the prediction is the centre of the target's cell whose feature has the
largest cosine to f, carried back to the target's own pixels. With point t annotated in the target
and L the longer side of its object box (or of the image)

    PCK@α = share of keypoints with ‖prediction − t‖ ≤ α·L

averaged over the keypoints of a pair, then over pairs (Yang and Ramanan 2013; Ham et al. 2016,
arXiv 1511.05065). The finer the map, the finer the answer: with an upsampler in the extractor its
map is searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import require_directions
from benchmarks.core.record import Metric
from benchmarks.data.keypoints import KeypointImage, KeypointPairs
from benchmarks.data.loading import ordered_map, resize_image
from pretrain.names import check_choice
from pretrain.progress import Progress

METRICS = ("PCK@0.1", "PCK@0.05", "PCK@0.15")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: tuple[int, int] = (224, 224)  # (H, W) the images are resized to, aspect ratio not kept
    # what α is a share of: box, image (longer side); empty = as the data set defines it
    relative_to: str = ""
    batch_size: int = speed_only(8)  # images encoded at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", tuple(self.size))
        if len(self.size) != 2 or min(self.size) < 1 or self.batch_size < 1:
            raise ValueError(
                f"size={self.size} must be two positive sides, batch_size={self.batch_size} "
                "positive"
            )
        check_choice("relative_to", self.relative_to, ("", "box", "image"))


def run(
    extractor: FeatureExtractor,
    data: KeypointPairs,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs keypoint transfer: ``METRICS`` in percent, distances and metrics per pair in counts.

    Each image is encoded twice, once as source and once as target, so that one batch of maps is
    held at a time. Cost beside the encoding: pairs · K · cells · C multiply-adds.

    Raises:
        ValueError: a feature that is zero or not finite (named image).
    """
    sources: dict[int, list[int]] = {}
    for source, target in data.pairs:
        sources.setdefault(target, []).append(source)
    encode = partial(_encode, extractor, data, settings=settings, progress=progress)
    queries: dict[int, Tensor] = {}
    for index, features in encode(images={source for source, _ in data.pairs}, phase="sources"):
        rows, columns = _cells(data.images[index], features.shape[1:])
        queries[index] = features[:, rows, columns].T  # (K, C)
    predicted = {}
    for index, features in encode(images=sources, phase="targets"):
        together = torch.cat([queries[source] for source in sources[index]])
        places = np.split(match(together, features, data.images[index].size), len(sources[index]))
        for source, points in zip(sources[index], places, strict=True):
            predicted[source, index] = points
    return result_of(data, settings, predicted)


def match(queries: Tensor, features: Tensor, size: tuple[int, int]) -> np.ndarray:
    """Finds each query's nearest cell by cosine; the first in row order among equals.

    Args:
        queries: (Q, C) unit norm.
        features: (C, h, w) unit norm along C.
        size: (H, W) in pixels of the image whose map this is.

    Returns:
        (Q, 2) float64, x and y of the cells' centres in pixels of the image.
    """
    height, width = features.shape[1:]
    best = (queries @ features.flatten(1)).argmax(1).cpu().numpy()
    cells = np.stack([best % width, best // width], 1)
    return (cells + 0.5) * (size[1] / width, size[0] / height)


def result_of(
    data: KeypointPairs, settings: Settings, predicted: dict[tuple[int, int], np.ndarray]
) -> Result:
    """Scores predictions (K, 2) for every pair.

    Raises:
        ValueError: no pair, a pair without keypoints, a distance that is not a number.
    """
    relative_to = settings.relative_to or data.relative_to
    errors = []  # per pair, ‖prediction − truth‖ / L of every keypoint
    for pair in data.pairs:
        target = data.images[pair[1]]
        side = max(target.box if relative_to == "box" else target.size)
        errors.append(np.linalg.norm(predicted[pair] - target.points, axis=1) / side)
        if not len(errors[-1]) or not np.isfinite(errors[-1]).all():
            names = " and ".join(str(data.images[index].path) for index in pair)
            raise ValueError(
                f"{names}: a pair without keypoints, or with a point or prediction that is not a "
                "number"
            )
    if not errors:
        raise ValueError("correspondence: the data hold no pair of images of one object")
    metrics, table = {}, dict(image=list(range(len(errors))))  # what is scored are pairs
    for name in METRICS:
        alpha = float(name.partition("@")[2])
        shares = [(error <= alpha).mean() for error in errors]
        metrics[name] = Metric(100 * float(np.mean(shares)), "%", "higher")
        table[name] = [100 * float(share) for share in shares]
    counts = dict(relative_error=[error.round(6).tolist() for error in errors], per_image=table)
    counts |= dict(pairs=[list(pair) for pair in data.pairs])
    return Result(metrics, counts, facts=dict(relative_to=relative_to))


def _encode(
    extractor: FeatureExtractor,
    data: KeypointPairs,
    *,
    images: Iterable[int],
    settings: Settings,
    phase: str,
    progress: Progress | None,
) -> Iterator[tuple[int, Tensor]]:
    """Yields the number and the unit-norm map (C, h, w) of each of the images, in order."""
    ids, size = sorted(images), settings.batch_size
    loaded = ordered_map(lambda i: resize_image(data.read(i), settings.size), ids, 2 * size)
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        pixels = np.stack([next(loaded) for _ in batch])
        maps = extractor.maps(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        require_directions(maps.norm(dim=1), batch, lambda index: str(data.images[index].path))
        for index, features in zip(batch, maps, strict=True):
            yield index, F.normalize(features, dim=0)
        if progress:
            progress(phase, start + len(batch), len(ids))


def _cells(image: KeypointImage, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of the cells that an image's keypoints lie in; points on or beyond the
    border in the nearest.
    """
    cells, sides = np.array(grid[::-1]), np.array(image.size[::-1])  # x, y
    places = np.clip((image.points * cells / sides).astype(np.int64), 0, cells - 1)
    return torch.from_numpy(places[:, 1]), torch.from_numpy(places[:, 0])


def _answer(
    data: KeypointPairs,
    settings: Settings,
    *,
    predict: Callable[[KeypointImage, KeypointImage], np.ndarray],
    progress: Progress | None = None,
) -> Result:
    """An answer without looking: ``predict(source, target)`` gives (K, 2) pixels of the target."""
    predicted = {}
    for pair in data.pairs:
        source, target = (data.images[index] for index in pair)
        predicted[pair] = predict(source, target)
    return result_of(data, settings, predicted)


def _same_place(source: KeypointImage, target: KeypointImage) -> np.ndarray:
    """Every keypoint where it was, as a share of width and height."""
    return source.points * (target.size[1] / source.size[1], target.size[0] / source.size[0])


def _middle(source: KeypointImage, target: KeypointImage) -> np.ndarray:
    """Every keypoint in the middle of the image."""
    return np.full_like(source.points, 0.5) * target.size[::-1]


BENCHMARK = Benchmark(
    name="correspondence",
    about="keypoints of one object found on another",
    settings=Settings,
    run=run,
    data=KeypointPairs,
    metrics=METRICS,
    quick=dict(size=(128, 128)),
    baselines=dict(
        identity=partial(_answer, predict=_same_place), centre=partial(_answer, predict=_middle)
    ),
    upsampled_stride=2,
)
