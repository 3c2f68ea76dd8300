"""Which modules of a fine-tuned network had to leave their start, and how exactly they are set.

One fine-tuning gives the network at its start, along the way and at its end. See
:mod:`benchmarks.analysis.perturbation` for μ; its loss L is the mean cross-entropy of training
images in eval mode, as they are tested, and ε is that of the final network plus ``slack``. The
cheap variant, rewinding, puts one module back to its start and scores the validation part.

Where the network has BatchNorm, its running statistics are measured anew on the training images
behind every change, so that a module's weights are judged and not statistics that belong to others.

Cost: one fine-tuning, then per module up to places · ``sigmas`` · ``draws`` times the training
images; most of it is never asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.analysis.criticality_figure import CRITICALITY
from benchmarks.analysis.fine_tunings import FineTuned, Trajectory, fine_tuned
from benchmarks.analysis.interpolation import State, distance, interpolate
from benchmarks.analysis.landscape import Images, Landscape, Scored
from benchmarks.analysis.modules import module_parameters
from benchmarks.analysis.perturbation import Critical, criticality, noise_levels
from benchmarks.core.benchmark import Benchmark, Result, in_subject
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from pretrain.progress import Progress

HEAD = "head"


@dataclass(frozen=True)
class Settings(FineTuned):
    """Every number the result depends on, apart from data and network."""

    alphas: int = 21  # places on the straight path from start to end, equally spaced
    sigmas: int = 13  # levels of noise, from the least to 1, evenly in the logarithm
    sigma_least: float = 1e-3
    draws: int = 5  # of noise, over which the loss is averaged
    slack: float = 0.1  # ε is (1 + slack) times the final network's loss
    images: int = 512  # training images at most, evenly spread, whose loss is L
    rewound_images: int = 2000  # validation images at most, evenly spread, for rewinding
    seed: int = in_subject(0)  # of fine-tuning and noise

    def __post_init__(self) -> None:
        super().__post_init__()
        least = dict(alphas=2, sigmas=1, draws=1, images=2, rewound_images=1, seed=0)
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {value}")
        if not 0 < self.sigma_least < 1:
            raise ValueError(f"sigma_least={self.sigma_least} must lie between 0 and 1")
        if not self.slack > 0:
            raise ValueError(f"slack={self.slack} must be greater than 0")


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Fine-tunes the network once and measures each of its modules, the new classifier with them.

    Metrics: ``criticality``, the sum of μ over modules on the straight path, ``path_criticality``
    on the path of the training, and ``rewind_drop``, the accuracy in points that rewinding one of
    the network's modules costs, on average over them; the classifier counts in none of the three.

    Raises:
        ValueError, ConfigError: a mistake in recipe or data; noise of ``sigma_least`` that is too
            large for a module even at the end of its path.
    """
    trajectory = fine_tuned(extractor, data, settings, seed=settings.seed, progress=progress)
    bench = _Bench(trajectory, data, settings)
    names = bench.modules
    final, rows, lost = bench.scored(), [], []
    for done, (module, parameters) in enumerate(names.items(), start=1):
        rewound = bench.scored(bench.rewound(parameters))
        direct, path = bench.critical(parameters, module=module)
        rows.append(_row(module, direct, path, rewound=rewound))
        rows[-1]["moved"] = distance(bench.states[-1], bench.states[0], parameters)
        lost.append((final.right.double() - rewound.right.double()).mul(100))
        if progress:
            progress("perturb modules", done, len(names))
    inner = [row for row in rows if row["module"] != HEAD]
    per_image = torch.stack(lost[: len(inner)]).mean(0)
    metrics = dict(
        criticality=Metric(math.fsum(row["direct"] for row in inner), "1", "lower"),
        path_criticality=Metric(math.fsum(row["path"] for row in inner), "1", "lower"),
        rewind_drop=Metric(float(per_image.mean()), "points", "lower"),
    )
    table = dict(image=list(bench.scored_images.numbers), rewind_drop=per_image.tolist())
    counts = dict(per_module=rows, per_image=table, loss=bench.loss, epsilon=bench.epsilon)
    counts |= dict(top1=final.top1, steps=list(trajectory.steps))
    return Result(
        metrics,
        counts,
        cost=dict(training_seconds=trajectory.seconds),
        facts=trajectory.protocol | dict(compared=len(bench.scored_images.numbers)),
        subject=dict(seed=settings.seed),
    )


def _row(module: str, direct: Critical, path: Critical, *, rewound: Scored) -> dict[str, Any]:
    """What the counts hold of a module."""
    return dict(
        module=module,
        direct=direct.mu,
        path=path.mu,
        direct_at=asdict(direct),
        path_at=asdict(path),
        rewound=rewound.top1,
        rewound_loss=rewound.loss,
    )


class _Bench:
    """Where modules are moved about: weights along the trajectory, and images.

    Args:
        trajectory: one fine-tuning.
        data: class folders.
        settings: of the analysis.

    Attributes:
        states: of the classifier, from the start to the end.
        modules: module -> names of its parameters; the classifier last.
        loss, epsilon: of the final network, and the largest that is allowed.
    """

    def __init__(self, trajectory: Trajectory, data: ClassFolder, settings: Settings) -> None:
        classifiers = [trajectory.classifier(index) for index in range(len(trajectory.files))]
        self.states: list[State] = [classifier.state_dict() for classifier in classifiers]
        last, self.settings = classifiers[-1], settings
        self.modules = {}
        for module, names in module_parameters(last.backbone).items():
            self.modules[module] = [f"backbone.{name}" for name in names]
        self.modules[HEAD] = [f"head.{name}" for name, _ in last.head.named_parameters()]
        self.images = Images.of(data.train, last, most=settings.images)
        self.scored_images = Images.of(data.val, last, most=settings.rewound_images)
        self.landscape = Landscape(last, statistics=self.images, batch_size=settings.batch_size)
        self.loss = self._loss(self.states[-1])
        self.epsilon = (1 + settings.slack) * self.loss

    def scored(self, state: State | None = None) -> Scored:
        """Scores the validation part; None: with the final weights."""
        self.landscape.place(self.states[-1] if state is None else state, recalibrate=True)
        return self.landscape.score(self.scored_images)

    def rewound(self, names: Sequence[str]) -> State:
        """The final weights with the named ones as they were at the start."""
        return dict(self.states[-1]) | {name: self.states[0][name] for name in names}

    def critical(self, names: Sequence[str], *, module: str) -> tuple[Critical, Critical]:
        """Criticality on the straight path and on that of the training.

        Raises:
            ValueError: the least noise is too large even at the end of the path.
        """
        own = [{name: state[name] for name in names} for state in self.states]
        straight = []
        for alpha in np.linspace(0, 1, self.settings.alphas).tolist():
            straight.append(interpolate(own[0], own[-1], alpha))
        straight[-1] = own[-1]
        least = self.settings.sigma_least
        if not self._fits(own[-1], least):
            raise ValueError(
                f"sigma_least={least}: noise of it on {module} of the fine-tuned network raises "
                f"the loss above epsilon={self.epsilon:.4g}; lower it, or raise slack="
            )
        first, second = (self._search(places) for places in (straight, own))
        return first, second

    def _search(self, places: Sequence[State]) -> Critical:
        """Searches a path of a module, whose first place is its start."""
        travelled = [distance(place, places[0], place) for place in places]
        sigmas = noise_levels(self.settings.sigma_least, self.settings.sigmas)
        return criticality(
            travelled, sigmas.tolist(), lambda place, sigma: self._fits(places[place], sigma)
        )

    def _fits(self, module: State, sigma: float) -> bool:
        """Whether the loss with the module there, averaged over draws of noise, is at most ε."""
        left = self.epsilon * self.settings.draws
        for draw in range(self.settings.draws):
            generator = torch.Generator().manual_seed(1000 * self.settings.seed + draw)
            noisy = {}
            for name, value in module.items():
                noise = torch.randn(value.shape, generator=generator).to(value)
                noisy[name] = value + sigma * noise
            left -= self._loss(dict(self.states[-1]) | noisy)
            if not left >= 0:  # losses are positive: the other draws can only add to it; or NaN
                return False
        return True

    def _loss(self, state: State) -> float:
        self.landscape.place(state, recalibrate=True)
        return self.landscape.score(self.images).loss


BENCHMARK = Benchmark(
    name="criticality",
    about="how exactly each module of the fine-tuned network must be set",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("criticality", "path_criticality", "rewind_drop"),
    quick=dict(alphas=5, sigmas=4, draws=2, images=64, rewound_images=256, epochs=3),
    figures=(CRITICALITY,),
)
