"""The run of matching in 3-D: cut both views, encode, match, score."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import require_directions
from benchmarks.core.record import Metric
from benchmarks.data.loading import ordered_map
from benchmarks.data.view_pairs import ViewPairs
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.matching.cut import Cut, cut_view
from benchmarks.frozen.matching.matches import Matches, match_errors, match_points
from benchmarks.frozen.matching.settings import (
    BINS,
    CENTIMETRES,
    MAIN,
    METRICS,
    PIXELS,
    Settings,
    bin_name,
)
from pretrain.progress import Progress

Matcher = Callable[[int, Tensor, Tensor], Matches]  # of a pair's number and its two sets of points


def run(
    extractor: FeatureExtractor,
    data: ViewPairs,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures recall in percent; counts hold it of every pair, with the angle between its views.

    Cost beside the encoding: for a pair N · M · C multiply-adds, N and M points of the object, up
    to (side / stride)² each.

    Raises:
        ValueError: a feature that is zero or not finite, a view without two known depths (named).
    """
    errors = []
    for cuts, start in _batches(data, settings):
        pixels = torch.from_numpy(np.stack([cut.pixels for pair in cuts for cut in pair]))
        maps = extractor.maps(pixels.permute(0, 3, 1, 2))
        files = _files(data, start, len(cuts))
        require_directions(maps.norm(dim=1), range(len(files)), files.__getitem__)
        cells = _on_cells(maps, extractor, settings)
        for offset, pair in enumerate(cuts):
            features = cells[2 * offset : 2 * offset + 2]

            def matched(number: int, *known: Tensor, features: Tensor = features) -> Matches:
                source, target = (
                    F.normalize(one.flatten(1).T[keep], dim=1)
                    for one, keep in zip(features, known, strict=True)
                )
                return match_points(source, target, settings.matches)

            errors.append(_errors(data, start + offset, pair, matched))
        if progress:
            progress("pairs", start + len(cuts), len(data.pairs))
    return _result(data, errors, settings)


def _batches(data: ViewPairs, settings: Settings) -> Iterator[tuple[list[tuple[Cut, Cut]], int]]:
    """Batches of pairs of cut views, with the number of their first."""

    def cut(index: int) -> Cut:
        return cut_view(data.views[index], *data.load(index), settings)

    indices = []
    for pair in data.pairs:
        indices += [pair.source, pair.target]
    size = settings.batch_size
    loaded = ordered_map(cut, indices, ahead=4 * size)
    for start in range(0, len(data.pairs), size):
        count = min(size, len(data.pairs) - start)
        yield [(next(loaded), next(loaded)) for _ in range(count)], start


def _files(data: ViewPairs, start: int, count: int) -> list[str]:
    """The photos of a batch of pairs, as they are encoded."""
    files = []
    for pair in data.pairs[start : start + count]:
        files += [str(data.views[index].image) for index in (pair.source, pair.target)]
    return files


def _on_cells(maps: Tensor, extractor: FeatureExtractor, settings: Settings) -> Tensor:
    """Maps (B, C, h, w) resampled bicubically at the centres of the matched cells, (B, C, g, g)."""
    side = settings.size[0]
    before, padded = (0, 0), settings.size
    if getattr(extractor, "feature_settings", None) is not None:  # not of what stands in for one
        cells = extractor.cells(settings.size)
        before, padded = cells.before, cells.padded
    centres = (torch.arange(side // settings.stride) + 0.5) * settings.stride
    down, across = (
        2 * (centres + first) / length - 1 for first, length in zip(before, padded, strict=True)
    )
    grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).to(maps)
    return F.grid_sample(
        maps,
        grid.expand(len(maps), -1, -1, -1),
        mode="bicubic",
        padding_mode="border",
        align_corners=False,
    )


def _errors(
    data: ViewPairs, number: int, cuts: tuple[Cut, Cut], matcher: Matcher
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of a pair's matches: (n,) metres and (n,) pixels."""
    pair = data.pairs[number]
    points = [torch.from_numpy(cut.points).flatten(0, 1) for cut in cuts]
    known = [(one[:, 2] > 0).nonzero()[:, 0] for one in points]
    for index, one in zip((pair.source, pair.target), known, strict=True):
        if len(one) < 2:
            raise ValueError(
                f"{data.views[index].depth}: fewer than two cells have a known depth, which is too "
                "few to match; is stride= too large?"
            )
    matches = matcher(number, *known)
    source, target = (
        one[keep][chosen.cpu()].double()
        for one, keep, chosen in zip(points, known, (matches.source, matches.target), strict=True)
    )
    apart, pixels = match_errors(
        source,
        target,
        rotation=torch.from_numpy(pair.rotation),
        translation=torch.from_numpy(pair.translation),
        focal=cuts[1].focal,
    )
    return apart.numpy(), pixels.numpy()


def _result(
    data: ViewPairs, errors: list[tuple[np.ndarray, np.ndarray]], settings: Settings
) -> Result:
    """Recall per pair, then over pairs, all of them and those of each bin of angles."""
    table: dict[str, list[float]] = {}
    for limit in CENTIMETRES:
        table[f"recall@{limit}cm"] = [_share(apart, limit / 100) for apart, _ in errors]
    for limit in PIXELS:
        scaled = limit * settings.size[0] / 512
        table[f"recall@{limit}px"] = [_share(pixels, scaled) for _, pixels in errors]
    angles = np.array([pair.angle for pair in data.pairs])
    for low, high in BINS:
        inside = (angles >= low) & (angles < high)
        own = np.where(inside, table[f"recall@{MAIN}cm"], np.nan)
        table[bin_name(low, high)] = own.tolist()
    metrics = {}
    for name in _expected(data, settings):
        metrics[name] = Metric(float(np.nanmean(table[name])), "%", "higher")
    kept = {name: table[name] for name in metrics}
    counts = dict(per_image=dict(image=list(range(len(errors)))) | kept)
    counts |= dict(angle=angles.round(4).tolist(), matches=[len(apart) for apart, _ in errors])
    return Result(metrics, counts)


def _share(errors: np.ndarray, limit: float) -> float:
    return 100 * float((errors < limit).mean())


def _expected(data: ViewPairs, settings: Settings) -> tuple[str, ...]:
    """The metrics of bins that hold a pair, and all others."""
    empty = set()
    for low, high in BINS:
        if not any(low <= pair.angle < high for pair in data.pairs):
            empty.add(bin_name(low, high))
    return tuple(name for name in METRICS if name not in empty)


def _chance(data: ViewPairs, settings: Settings, *, progress: Progress | None = None) -> Result:
    """Points of the target drawn blindly."""

    def drawn(number: int, source: Tensor, target: Tensor) -> Matches:
        generator = torch.Generator().manual_seed(number)
        count = min(settings.matches, len(source))
        ids = torch.randperm(len(source), generator=generator)[:count]
        others = torch.randint(len(target), (count,), generator=generator)
        return Matches(ids, others, torch.zeros(count))

    errors = []
    for cuts, start in _batches(data, settings):
        for offset, pair in enumerate(cuts):
            errors.append(_errors(data, start + offset, pair, drawn))
        if progress:
            progress("pairs", start + len(cuts), len(data.pairs))
    return _result(data, errors, settings)


def _colour_position(
    data: ViewPairs, settings: Settings, *, progress: Progress | None = None
) -> Result:
    network = ColourPosition(settings.stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="matching",
    about="points of an object found again in another view, in 3-D",
    settings=Settings,
    run=run,
    data=ViewPairs,
    metrics=METRICS,
    expected=_expected,
    quick=dict(size=(256, 256)),
    baselines=dict(chance=_chance, colour_position=_colour_position),
    upsampled_stride=4,
)
