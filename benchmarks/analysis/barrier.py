"""Performance barrier between two fine-tunings of one network, and between two random starts.

Weights θ_λ = (1−λ) θ_0 + λ θ_1 between the final weights of two fine-tunings are scored on the
validation part; see :mod:`benchmarks.analysis.interpolation` for the barrier and the basin. Where
the network has BatchNorm, its interpolated running statistics fit no weights between the ends: they
are measured anew on training images at every λ, both ends included; the barrier without that stands
beside it.

Cost: two trainings (four with the control), then the validation images scored at ``points`` · 2
weights per pair and those of the basin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from benchmarks.analysis.barrier_figure import BARRIER
from benchmarks.analysis.fine_tunings import FineTuned, Trajectory, fine_tuned, random_start
from benchmarks.analysis.interpolation import (
    Basin,
    State,
    basin,
    distance,
    interpolate,
    rises,
    with_noise,
)
from benchmarks.analysis.landscape import Images, Landscape, Scored
from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from pretrain.progress import Progress

Ends = tuple[State, State]  # the final weights of two classifiers, with buffers
_OWN = ("barrier", "drop", "barrier_uncalibrated", "apart", "epsilon", "delta")
_CONTROL = ("random_barrier", "random_drop", "random_barrier_uncalibrated", "random_apart")
_UNITS = dict(drop="points", apart="1", delta="1")  # of the others: nats


@dataclass(frozen=True)
class Settings(FineTuned):
    """Every number the result depends on, apart from data and network."""

    points: int = 21  # λ from 0 to 1, equally spaced
    images: int = 2000  # validation images at most, evenly spread
    # training images at most, evenly spread, by which BatchNorm's statistics are measured anew
    statistics_images: int = 1024
    # pairs of fine-tunings; pair k has the seeds 2k and 2k + 1, and so have its random starts
    pairs: int = 1
    two_starts: bool = True  # train two random starts for each pair, too
    # lengths δ tried for the basin, as shares of the distance between both ends, ascending
    deltas: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    draws: int = 5  # of noise, per end and length

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "deltas", tuple(map(float, self.deltas)))
        least = dict(points=3, images=1, statistics_images=2, pairs=1, draws=1)
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {value}")
        if not self.deltas or min(self.deltas) <= 0 or list(self.deltas) != sorted(self.deltas):
            raise ValueError(f"deltas={self.deltas} must be ascending numbers greater than 0")


@dataclass(frozen=True)
class Line:
    """What was measured between two ends.

    Attributes:
        shares: λ.
        calibrated: scores at each, statistics of BatchNorm measured there.
        interpolated: scores at each, statistics interpolated; those above where there is none.
    """

    shares: Sequence[float]
    calibrated: Sequence[Scored]
    interpolated: Sequence[Scored]

    def metrics(self) -> dict[str, float]:
        """``barrier`` of the loss, ``drop`` of the accuracy, both behind calibration, and
        ``barrier_uncalibrated``.
        """
        accuracies = [-scored.top1 for scored in self.calibrated]
        return dict(
            barrier=float(self.rises(self.calibrated).max()),
            drop=float(rises(self.shares, accuracies).max()),
            barrier_uncalibrated=float(self.rises(self.interpolated).max()),
        )

    def rises(self, scored: Sequence[Scored]) -> np.ndarray:
        """How far the loss lies above the line between both ends, at each λ."""
        return rises(self.shares, [own.loss for own in scored])

    def per_image(self, scored: Sequence[Scored]) -> list[float]:
        """What each image adds to the barrier, at the λ where it is highest."""
        top = int(self.rises(scored).argmax())
        share, first, last = self.shares[top], scored[0].losses, scored[-1].losses
        return (scored[top].losses - (1 - share) * first - share * last).tolist()

    def curves(self) -> dict[str, list[float]]:
        """Losses and accuracies along the line, for figures."""
        return dict(
            share=list(self.shares),
            loss=[scored.loss for scored in self.calibrated],
            top1=[scored.top1 for scored in self.calibrated],
            loss_uncalibrated=[scored.loss for scored in self.interpolated],
            top1_uncalibrated=[scored.top1 for scored in self.interpolated],
        )


@dataclass(frozen=True)
class Pair:
    """What was measured of two fine-tunings.

    Attributes:
        line: between both ends.
        apart: distance between their parameters, without the classifiers'.
        basin: around them; None where nobody asked.
        delta: δ of ``basin`` where it holds, else NaN.
    """

    line: Line
    apart: float
    basin: Basin | None = None
    delta: float = math.nan


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Fine-tunes the network twice and measures what lies between, for each pair of seeds.

    Metrics, means over pairs: ``barrier`` in nats, ``drop`` of the accuracy in points,
    ``barrier_uncalibrated``, and ``apart``, the distance between both networks' parameters without
    the classifiers'; the same with ``random_`` of two random starts; ``epsilon`` of the basin and
    ``delta``, the shortest of the tried lengths beyond which the loss rises by 2 ε (NaN where a
    pair has none).

    Raises:
        ValueError, ConfigError: a mistake in recipe or data; an image that cannot be read.
    """
    bench = _Bench(data, settings, progress)
    own, control = [], []
    for number in range(settings.pairs):
        seeds = (2 * number, 2 * number + 1)
        own.append(bench.measure((extractor, extractor), seeds))
        if settings.two_starts:
            starts = tuple(random_start(extractor, number=seed) for seed in seeds)
            control.append(bench.measure(starts, seeds, around=False))
    counts = dict(
        lines=[pair.line.curves() for pair in own],
        random_lines=[pair.line.curves() for pair in control],
        basins=[vars(pair.basin) | dict(delta=pair.delta) for pair in own],
        per_image=_per_image(bench, own, control),
    )
    return Result(
        _metrics(own, control),
        counts,
        cost=dict(training_seconds=bench.training_seconds),
        facts=bench.protocol | dict(compared=len(bench.images.numbers)),
    )


def _metrics(own: Sequence[Pair], control: Sequence[Pair]) -> dict[str, Metric]:
    """Means over pairs, see :func:`run`."""
    values: dict[str, list[float]] = {}
    for prefix, pairs in (("", own), ("random_", control)):
        for pair in pairs:
            for name, value in (pair.line.metrics() | dict(apart=pair.apart)).items():
                values.setdefault(prefix + name, []).append(value)
    values["epsilon"] = [pair.basin.epsilon for pair in own]
    values["delta"] = [pair.delta for pair in own]
    metrics = {}
    for name, of_pairs in values.items():
        unit = _UNITS.get(name.removeprefix("random_"), "nats")
        better = "higher" if name == "delta" else "lower"
        metrics[name] = Metric(fmean(of_pairs), unit, better)
    return metrics


def _per_image(
    bench: _Bench, own: Sequence[Pair], control: Sequence[Pair]
) -> dict[str, list[float]]:
    """What each image adds to the barriers, on average over pairs."""
    columns: dict[str, list[list[float]]] = {}
    for prefix, pairs in (("", own), ("random_", control)):
        for line in (pair.line for pair in pairs):
            for name, scored in (
                ("barrier", line.calibrated),
                ("barrier_uncalibrated", line.interpolated),
            ):
                columns.setdefault(prefix + name, []).append(line.per_image(scored))
    table = {name: np.mean(rows, 0).tolist() for name, rows in columns.items()}
    return dict(image=list(bench.images.numbers)) | table


class _Bench:
    """Where lines are measured: images, and a classifier that is moved about.

    Args:
        data: class folders.
        settings: of the analysis.
        progress: called with (phase, done, in all).

    Attributes:
        training_seconds: of all fine-tunings so far.
        protocol, images, landscape: of the first of them; None before it.
    """

    def __init__(self, data: ClassFolder, settings: Settings, progress: Progress | None) -> None:
        self.data, self.settings, self.progress = data, settings, progress
        self.training_seconds = 0.0
        self.protocol: dict[str, Any] | None = None
        self.images: Images | None = None
        self.landscape: Landscape | None = None

    def measure(
        self,
        networks: tuple[FeatureExtractor, FeatureExtractor],
        seeds: tuple[int, int],
        *,
        around: bool = True,
    ) -> Pair:
        """Fine-tunes two networks and scores what lies between; with ``around`` also what lies
        about it.
        """
        trained = []
        for network, seed in zip(networks, seeds, strict=True):
            trained.append(
                fine_tuned(network, self.data, self.settings, seed=seed, progress=self.progress)
            )
            self.training_seconds += trained[-1].seconds
        first, second = (trajectory.classifier().state_dict() for trajectory in trained)
        if self.landscape is None:
            self._open(trained[0])
        line = self._line((first, second), f"between seeds {seeds[0]} and {seeds[1]}")
        inner = [name for name, _ in self.landscape.classifier.named_parameters()]
        inner = [name for name in inner if name.startswith("backbone.")]
        apart = distance(first, second, inner)
        if not around:
            return Pair(line, apart)
        return Pair(line, apart, *self._basin((first, second), line, seed=seeds[0]))

    def _open(self, trajectory: Trajectory) -> None:
        """Reads the images as a classifier takes them."""
        classifier, settings = trajectory.classifier(), self.settings
        self.protocol = trajectory.protocol
        self.images = Images.of(self.data.val, classifier, most=settings.images)
        self.landscape = Landscape(
            classifier,
            statistics=Images.of(self.data.train, classifier, most=settings.statistics_images),
            batch_size=settings.batch_size,
        )

    def _line(self, ends: Ends, phase: str) -> Line:
        """Scores the points between two ends."""
        shares = np.linspace(0, 1, self.settings.points).tolist()
        calibrated, interpolated = [], []
        for done, share in enumerate(shares, start=1):
            state = interpolate(*ends, share)
            calibrated.append(self._scored(state, recalibrate=True))
            if self.landscape.has_statistics:
                interpolated.append(self._scored(state, recalibrate=False))
            if self.progress:
                self.progress(phase, done, len(shares))
        return Line(shares, calibrated, interpolated or calibrated)

    def _basin(self, ends: Ends, line: Line, *, seed: int) -> tuple[Basin, float]:
        """The basin of the shortest length beyond which the loss rises by 2 ε, and that length; NaN
        where it is none of those tried, then the basin of the longest.
        """
        names = [name for name, _ in self.landscape.classifier.named_parameters()]
        apart = distance(*ends, names)
        segment = [scored.loss for scored in line.calibrated]
        for done, share in enumerate(self.settings.deltas, start=1):
            around = [
                self._beyond(ends, names, end=e, length=share * apart, seed=seed) for e in (0, 1)
            ]
            found = basin(segment, around[0][0] + around[1][0], around[0][1] + around[1][1])
            if self.progress:
                self.progress("leave the basin", done, len(self.settings.deltas))
            if found.holds:
                return found, share * apart
        return found, math.nan

    def _beyond(
        self, ends: Ends, names: Sequence[str], *, end: int, length: float, seed: int
    ) -> tuple[list[float], list[float]]:
        """Losses at an end with noise of that length δ, and beyond it by |N(0, δ²)|."""
        noisy, outside = [], []
        apart = distance(*ends, names)
        steps = np.random.default_rng([seed, end]).normal(size=self.settings.draws)
        for draw, step in enumerate(np.abs(steps).tolist()):
            moved = with_noise(ends[end], names, length=length, seed=1000 * (seed + end) + draw)
            noisy.append(self._scored(moved, recalibrate=True).loss)
            beyond = step * length / apart
            share = 1 + beyond if end else -beyond
            outside.append(self._scored(interpolate(*ends, share), recalibrate=True).loss)
        return noisy, outside

    def _scored(self, state: State, *, recalibrate: bool) -> Scored:
        self.landscape.place(state, recalibrate=recalibrate)
        return self.landscape.score(self.images)


def _expected(data: ClassFolder, settings: Settings) -> tuple[str, ...]:
    return _OWN + _CONTROL if settings.two_starts else _OWN


BENCHMARK = Benchmark(
    name="barrier",
    about="the loss between two fine-tunings of the network, and between two random starts",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=_OWN + _CONTROL,
    expected=_expected,
    quick=dict(points=5, images=256, statistics_images=256, draws=2, epochs=3),
    figures=(BARRIER,),
)
