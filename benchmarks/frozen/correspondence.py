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

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric, Record, versions
from benchmarks.data.keypoints import KeypointImage, KeypointPairs
from benchmarks.data.loading import ordered_map, resize_image
from pretrain.names import check_choice
from pretrain.progress import Progress

ALPHAS = (0.05, 0.1, 0.15)
METRICS = ("PCK@0.1", "PCK@0.05", "PCK@0.15")


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: tuple[int, int] = (224, 224)  # (H, W) the images are resized to, aspect ratio not kept
    relative_to: str = (
        ""  # what α is a share of: box, image (longer side); empty = as the data set defines it
    )
    batch_size: int = 8  # images encoded at once; changes speed, not the result

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
) -> Record:
    """Runs keypoint transfer: record ``correspondence`` with ``METRICS`` in percent, the distances
    per pair in counts.

    Each image is encoded twice, once as source and once as target, so that one batch of maps is
    held at a time. Cost beside the encoding: pairs · K · cells · C multiply-adds.

    Raises:
        ValueError: a feature that is zero or not finite (named image).
    """
    started = time.perf_counter()
    sources: dict[int, list[int]] = {}
    for source, target in data.pairs:
        sources.setdefault(target, []).append(source)
    queries: dict[int, Tensor] = {}
    for index, features in _encode(
        extractor, data, {s for s, _ in data.pairs}, settings, told=(progress, "sources")
    ):
        rows, columns = _cells(data.images[index], features.shape[1:])
        queries[index] = features[:, rows, columns].T  # (K, C)
    predicted = {}
    for index, features in _encode(extractor, data, sources, settings, told=(progress, "targets")):
        asked = sources[index]
        found = match(
            torch.cat([queries[source] for source in asked]), features, data.images[index].size
        )
        predicted |= {
            (s, index): p for s, p in zip(asked, np.split(found, len(asked)), strict=True)
        }
    cost = dict(seconds=time.perf_counter() - started)
    return record_of(data, settings, predicted, cost=cost, extractor=extractor)


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


def record_of(
    data: KeypointPairs,
    settings: Settings,
    predicted: dict[tuple[int, int], np.ndarray],
    *,
    cost: dict[str, float],
    extractor: Any,
) -> Record:
    """Scores predictions (K, 2) for every pair; ``extractor`` needs ``describe()`` and ``device``.

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
                f"{names}: a pair without keypoints, or with a point or prediction that is no "
                "number"
            )
    if not errors:
        raise ValueError("correspondence: the data hold no pair of images of one object")
    metrics = {}
    for name in METRICS:
        alpha = float(name.partition("@")[2])
        metrics[name] = Metric(
            100 * float(np.mean([(error <= alpha).mean() for error in errors])), "%", "higher"
        )
    protocol = dict(data=data.protocol, size=list(settings.size), relative_to=relative_to)
    counts = dict(
        pairs=[list(p) for p in data.pairs], relative_error=[e.round(6).tolist() for e in errors]
    )
    beside = versions(str(extractor.device))
    return Record("correspondence", metrics, protocol, counts, cost, extractor.describe(), beside)


def _encode(
    extractor: FeatureExtractor,
    data: KeypointPairs,
    wanted: Iterable[int],
    settings: Settings,
    *,
    told: tuple[Progress | None, str],
) -> Iterator[tuple[int, Tensor]]:
    """Yields the number and the unit-norm map (C, h, w) of each wanted image, in order; ``told`` is
    progress, phase.
    """
    ids, size = sorted(wanted), settings.batch_size
    loaded = ordered_map(lambda i: resize_image(data.read(i), settings.size), ids, 2 * size)
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        maps = extractor.maps(
            torch.from_numpy(np.stack([next(loaded) for _ in batch])).permute(0, 3, 1, 2)
        )
        norms = maps.norm(dim=1)
        for index, features, norm in zip(batch, maps, norms, strict=True):
            if not (torch.isfinite(norm) & (norm > 0)).all():
                name = data.images[index].path
                raise ValueError(
                    f"{name}: a feature is zero or not finite, so it has no direction; is it "
                    "collapsed?"
                )
            yield index, F.normalize(features, dim=0)
        if told[0]:
            told[0](told[1], start + len(batch), len(ids))


def _cells(image: KeypointImage, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of the cells that an image's keypoints lie in; points on or beyond the
    border in the nearest.
    """
    columns, rows = (
        np.clip((image.points[:, axis] * cells / side).astype(np.int64), 0, cells - 1)
        for axis, (cells, side) in enumerate(zip(grid[::-1], image.size[::-1], strict=True))
    )
    return torch.from_numpy(rows), torch.from_numpy(columns)


class _Named:
    """Stands for an extractor in the record of an answer that looks at no feature."""

    device = torch.device("cpu")

    def __init__(self, name: str) -> None:
        self._name = name

    def describe(self) -> dict[str, Any]:
        """Its name, as a network's."""
        return dict(spec=self._name, weights="none")


def _baseline(
    name: str, predict: Callable[[KeypointImage, KeypointImage], np.ndarray]
) -> Callable[..., Record]:
    """A predictor (source, target) -> (K, 2) target pixels, as a benchmark's ``run`` without a
    network.
    """

    def predict_all(
        data: KeypointPairs, settings: Settings, *, progress: Progress | None = None
    ) -> Record:
        """Scores the predictor."""
        predicted = {pair: predict(*(data.images[index] for index in pair)) for pair in data.pairs}
        return record_of(data, settings, predicted, cost={}, extractor=_Named(name))

    return predict_all


def _same_place(source: KeypointImage, target: KeypointImage) -> np.ndarray:
    """Every keypoint where it was, as a share of width and height."""
    return source.points * (target.size[1] / source.size[1], target.size[0] / source.size[0])


def _middle(source: KeypointImage, target: KeypointImage) -> np.ndarray:
    """Every keypoint in the middle of the image."""
    return np.full_like(source.points, 0.5) * target.size[::-1]


#: Answers without looking, under the same protocol: what a network must beat.
BASELINES = {
    name: _baseline(name, predict)
    for name, predict in (("identity", _same_place), ("centre", _middle))
}
