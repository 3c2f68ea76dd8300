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
from typing import Any

import numpy as np

from benchmarks.analysis.fine_tunings import FineTuned, Trajectory, fine_tuned, untrained
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
from benchmarks.core.benchmark import Benchmark, Result, in_subject
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from benchmarks.report.pictures.analysis.barrier import BARRIER
from pretrain.progress import Progress

_OWN = ("barrier", "drop", "barrier_uncalibrated", "epsilon", "delta")
_CONTROL = ("random_barrier", "random_drop", "random_barrier_uncalibrated")


@dataclass(frozen=True)
class Settings(FineTuned):
    """Every number the result depends on, apart from data and network."""

    points: int = 21  # λ from 0 to 1, equally spaced
    images: int = 2000  # validation images at most, evenly spread
    # training images at most, evenly spread, by which BatchNorm's statistics are measured anew
    statistics_images: int = 1024
    # fine-tunings have the seeds 2 · seed and 2 · seed + 1, and so have the random starts
    seed: int = in_subject(0)
    two_starts: bool = True  # train two random starts, too
    # lengths δ tried for the basin, as shares of the distance between both ends, ascending
    deltas: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    draws: int = 5  # of noise, per end and length

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "deltas", tuple(map(float, self.deltas)))
        least = dict(points=3, images=1, statistics_images=2, seed=0, draws=1)
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


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Fine-tunes the network twice and measures what lies between.

    Metrics: ``barrier`` in nats, ``drop`` of the accuracy in points, ``barrier_uncalibrated``; the
    same with ``random_`` of two random starts; ``epsilon`` of the basin and ``delta``, the shortest
    of the tried lengths beyond which the loss rises by 2 ε (NaN where none is).

    Raises:
        ValueError, ConfigError: a mistake in recipe or data; an image that cannot be read.
    """
    seeds = (2 * settings.seed, 2 * settings.seed + 1)
    pair = _trained((extractor, extractor), data, settings, seeds=seeds, progress=progress)
    bench = _Bench(pair[0], data, settings, progress)
    ends = _ends(pair)
    line = bench.line(ends, "between two fine-tunings")
    segment, delta = bench.basin(ends, line)
    values = line.metrics() | dict(epsilon=segment.epsilon, delta=delta)
    per_image = dict(image=list(bench.images.numbers), barrier=line.per_image(line.calibrated))
    if bench.landscape.has_statistics:
        per_image["barrier_uncalibrated"] = line.per_image(line.interpolated)
    counts: dict[str, Any] = dict(line=line.curves(), basin=vars(segment), per_image=per_image)
    trained = list(pair)
    if settings.two_starts:
        starts = tuple(untrained(extractor, seed=seed) for seed in seeds)
        others = _trained(starts, data, settings, seeds=seeds, progress=progress)
        random_line = bench.line(_ends(others), "between two random starts")
        counts["random_line"] = random_line.curves()
        per_image["random_barrier"] = random_line.per_image(random_line.calibrated)
        values |= {f"random_{name}": value for name, value in random_line.metrics().items()}
        trained += others
    units = dict(drop="points", random_drop="points")
    metrics = {}
    for name, value in values.items():
        better = "higher" if name == "delta" else "lower"
        metrics[name] = Metric(value, units.get(name, "1" if name == "delta" else "nats"), better)
    return Result(
        metrics,
        counts,
        cost=dict(training_seconds=sum(one.seconds for one in trained)),
        facts=pair[0].protocol | dict(compared=len(bench.images.numbers)),
        subject=dict(seed=settings.seed),
    )


def _trained(
    networks: tuple[FeatureExtractor, FeatureExtractor],
    data: ClassFolder,
    settings: Settings,
    *,
    seeds: tuple[int, int],
    progress: Progress | None,
) -> tuple[Trajectory, Trajectory]:
    """Two fine-tunings."""
    first, second = (
        fine_tuned(network, data, settings, seed=seed, progress=progress)
        for network, seed in zip(networks, seeds, strict=True)
    )
    return first, second


def _ends(pair: tuple[Trajectory, Trajectory]) -> tuple[State, State]:
    """The final weights of both, with buffers."""
    first, second = (trajectory.classifier().state_dict() for trajectory in pair)
    return first, second


class _Bench:
    """Where lines are measured: images, and a classifier that is moved about.

    Args:
        trajectory: whose classifier is copied.
        data: class folders.
        settings: of the analysis.
        progress: called with (phase, done, in all).
    """

    def __init__(
        self,
        trajectory: Trajectory,
        data: ClassFolder,
        settings: Settings,
        progress: Progress | None,
    ) -> None:
        classifier = trajectory.classifier()
        self.settings, self.progress = settings, progress
        self.images = Images.of(data.val, classifier, most=settings.images)
        self.landscape = Landscape(
            classifier,
            statistics=Images.of(data.train, classifier, most=settings.statistics_images),
            batch_size=settings.batch_size,
        )

    def line(self, ends: tuple[State, State], phase: str) -> Line:
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

    def basin(self, ends: tuple[State, State], line: Line) -> tuple[Basin, float]:
        """The basin of the shortest length beyond which the loss rises by 2 ε, and that length, NaN
        where it is none of those tried: then the basin of the longest.
        """
        names = [name for name, _ in self.landscape.classifier.named_parameters()]
        apart = distance(*ends, names)
        segment = [scored.loss for scored in line.calibrated]
        for done, share in enumerate(self.settings.deltas, start=1):
            noisy, outside = self._beyond(ends, names, share=share, apart=apart)
            found = basin(segment, noisy, outside)
            if self.progress:
                self.progress("leave the basin", done, len(self.settings.deltas))
            if found.holds:
                return found, share * apart
        return found, math.nan

    def _beyond(
        self, ends: tuple[State, State], names: Sequence[str], *, share: float, apart: float
    ) -> tuple[list[float], list[float]]:
        """Losses at both ends with noise of length ``share`` · ``apart``, and beyond both ends by
        |N(0, 1)| times that.
        """
        noisy, outside = [], []
        for end, state in enumerate(ends):
            steps = np.random.default_rng([self.settings.seed, end]).normal(
                size=self.settings.draws
            )
            for draw, step in enumerate(np.abs(steps).tolist()):
                seed = 1000 * self.settings.seed + 2 * draw + end
                moved = with_noise(state, names, length=share * apart, seed=seed)
                noisy.append(self._scored(moved, recalibrate=True).loss)
                place = 1 + share * step if end else -share * step
                outside.append(self._scored(interpolate(*ends, place), recalibrate=True).loss)
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
