"""The run of keypoint correspondence: encode the sources, encode the targets, match, score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import Cells
from benchmarks.core.maps import require_directions
from benchmarks.data.correspondences.pair import PointPair
from benchmarks.data.keypoints import KeypointPairs
from benchmarks.data.loading import ordered_map
from benchmarks.frozen.correspondence.frames import Frame
from benchmarks.frozen.correspondence.places import find, read_features
from benchmarks.frozen.correspondence.scores import result_of
from benchmarks.frozen.correspondence.settings import METRICS, Settings
from pretrain.progress import Progress


def run(
    extractor: FeatureExtractor,
    data: KeypointPairs,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs keypoint transfer: PCK in percent, distances and metrics per pair in counts.

    Each image is encoded twice, once as source and once as target, so that one batch of maps is
    held at a time. Cost beside the encoding: pairs · K · cells · C multiply-adds.

    Raises:
        ValueError: a feature that is zero or not finite (named image).
    """
    encode = partial(_encode, extractor, data, settings=settings, progress=progress)
    of_source, of_target = _numbers(data.pairs, 0), _numbers(data.pairs, 1)
    queries: dict[int, Tensor] = {}  # source -> features of the points that its pairs ask for
    rows: dict[int, np.ndarray] = {}  # pair -> which of them are its own
    for index, frame, features in encode(images=of_source, phase="sources"):
        own = [data.pairs[number].source_points for number in of_source[index]]
        points, inverse = np.unique(np.concatenate(own), axis=0, return_inverse=True)
        ends = np.cumsum([len(some) for some in own])[:-1]
        rows |= dict(zip(of_source[index], np.split(inverse.reshape(-1), ends), strict=True))
        places = frame.to_cells(points, tuple(features.shape[1:]))
        queries[index] = read_features(features, places, settings.source)
    predicted: dict[int, np.ndarray] = {}
    for index, frame, features in encode(images=of_target, phase="targets"):
        own = []
        for number in of_target[index]:
            own.append(queries[data.pairs[number].source][torch.from_numpy(rows[number])])
        hidden = None if frame.cells is None else frame.cells.padding().to(features.device)
        places = find(torch.cat(own), features, settings, hidden=hidden)
        points = frame.to_image(places, tuple(features.shape[1:]))
        ends = np.cumsum([len(some) for some in own])[:-1]
        predicted |= dict(zip(of_target[index], np.split(points, ends), strict=True))
    return result_of(data, settings, [predicted[number] for number in range(len(data.pairs))])


def _numbers(pairs: list[PointPair], side: int) -> dict[int, list[int]]:
    """Image -> numbers of the pairs that it is source (side 0) or target (1) of."""
    numbers: dict[int, list[int]] = {}
    for number, pair in enumerate(pairs):
        numbers.setdefault(pair.images[side], []).append(number)
    return numbers


def _encode(
    extractor: FeatureExtractor,
    data: KeypointPairs,
    *,
    images: Iterable[int],
    settings: Settings,
    phase: str,
    progress: Progress | None,
) -> Iterator[tuple[int, Frame, Tensor]]:
    """Yields number, frame and unit-norm map (C, h, w) of each of the images, in order."""
    ids, size = sorted(images), settings.batch_size
    cells = _padded_cells(extractor, settings.size)
    frames = {i: Frame(data.images[i].size, settings.size, settings.fit, cells) for i in ids}
    loaded = ordered_map(lambda i: frames[i].draw(data.read(i), settings), ids, 2 * size)
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        pixels = torch.from_numpy(np.stack([next(loaded) for _ in batch])).permute(0, 3, 1, 2)
        maps = extractor.maps(pixels)
        require_directions(maps.norm(dim=1), batch, lambda index: str(data.images[index].path))
        if settings.flip:
            mirrored = F.normalize(extractor.maps(pixels.flip(-1)).flip(-1), dim=1)
            maps = F.normalize(maps, dim=1) + mirrored
        for index, features in zip(batch, maps, strict=True):
            yield index, frames[index], F.normalize(features, dim=0)
        if progress:
            progress(phase, start + len(batch), len(ids))


def _padded_cells(extractor: FeatureExtractor, size: tuple[int, int]) -> Cells | None:
    """Where the cells lie, if the network pads its input; None where the map covers it evenly."""
    if getattr(extractor, "feature_settings", None) is None:  # also of what stands in for one
        return None
    cells = extractor.cells(size)
    return None if cells.padded == cells.image else cells


def _answer(
    data: KeypointPairs,
    settings: Settings,
    *,
    predict: Callable[[KeypointPairs, PointPair], np.ndarray],
    progress: Progress | None = None,
) -> Result:
    """An answer without looking: ``predict(data, pair)`` gives (K, 2) pixels of the target."""
    return result_of(data, settings, [predict(data, pair) for pair in data.pairs])


def _same_place(data: KeypointPairs, pair: PointPair) -> np.ndarray:
    """Every keypoint where it was, as a share of width and height."""
    source, target = (data.images[index].size for index in pair.images)
    return pair.source_points * (target[1] / source[1], target[0] / source[0])


def _middle(data: KeypointPairs, pair: PointPair) -> np.ndarray:
    """Every keypoint in the middle of the image."""
    return np.full_like(pair.source_points, 0.5) * data.images[pair.target].size[::-1]


def _expected(data: KeypointPairs, settings: Settings) -> tuple[str, ...]:
    return settings.metrics


BENCHMARK = Benchmark(
    name="correspondence",
    about="keypoints of one object found on another",
    settings=Settings,
    run=run,
    data=KeypointPairs,
    metrics=METRICS,
    expected=_expected,
    quick=dict(size=(128, 128)),
    baselines=dict(
        identity=partial(_answer, predict=_same_place), centre=partial(_answer, predict=_middle)
    ),
    upsampled_stride=2,
)
