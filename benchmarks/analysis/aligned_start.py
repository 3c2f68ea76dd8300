"""Aligned start: what of a network's first layers helps a new training, their filters or only their
covariance?

The same architecture is fine-tuned from four starts, which differ in the first layers alone; all
others, and the classifier, begin fresh:

- scratch: as before the pretraining;
- drawn: every filter drawn from N(0, Σ_w), Σ_w the covariance of the pretrained ones;
- trained: the pretrained filters;
- unscaled: these without their initial norms, which the first three have.

Measured is how fast the training images are learnt: the mean over epochs of the accuracy on them,
and how much higher it is than from scratch. With ``layers=0`` the whole network is taken over, and
``trained_gain`` says whether its pretraining helps (positive transfer) or harms (negative). Maennel
et al., What Do Neural Networks Learn When Trained With Random Labels? (NeurIPS 2020), figures 1
and 5; what they did and we saw is in docs/analyses/random_labels.md.

Cost: four fine-tunings, three with ``layers=0``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.analysis.aligned_start_figure import STARTS
from benchmarks.analysis.fine_tunings import FineTuned, Trajectory, fine_tuned, named
from benchmarks.analysis.layers import Shown
from benchmarks.analysis.references import START, load_reference, reference_fact
from benchmarks.analysis.starts import StartPlan, make_start
from benchmarks.core.benchmark import Benchmark, Result, in_subject
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from benchmarks.finetune.run import evaluate
from benchmarks.frozen.baselines import largest_classes
from pretrain.progress import Progress

PLANS = {
    "drawn": dict(filters="drawn"),
    "trained": dict(filters="trained"),
    "unscaled": dict(filters="trained", rescaled=False),
}


@dataclass(frozen=True)
class Settings(FineTuned):
    """Every number the result depends on, apart from data and network."""

    recipe: str = "analysis_centred"  # without augmentation: see there
    # convolutions and linear layers taken over, from the first on; 0 = the whole network, of which
    # nothing is drawn
    layers: int = 1
    images: int = 500  # of the train part, from which layers behind the first are drawn
    # the network before its pretraining: start, FILE.pth, timm:NAME or random:NAME
    reference: str = START
    # of classifier, order of images and drawn filters
    tuning_seed: int = in_subject(0)

    def __post_init__(self) -> None:
        super().__post_init__()
        StartPlan(layers=self.layers)
        if self.images < 1:
            raise ValueError(f"images={self.images} must be at least 1")

    @property
    def starts(self) -> tuple[str, ...]:
        """Names of the starts made of the network."""
        return tuple(name for name in PLANS if self.layers or name != "drawn")


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures the speed of every start and its gain over scratch.

    Raises:
        ConfigError, ValueError: see :func:`benchmarks.analysis.fine_tunings.fine_tuned`,
            :func:`benchmarks.analysis.references.load_reference` and
            :func:`benchmarks.analysis.starts.make_start`.
    """
    initial = load_reference(extractor, settings.reference)
    tuned = {"scratch": _tune(initial, data, settings, progress=named(progress, "scratch"))}
    test = tuned["scratch"].protocol["test"]
    shown = Shown(
        data.train, settings.images, test["size"], test["crop_fraction"], settings.batch_size
    )
    for name, network in _starts(extractor, initial, settings=settings, shown=shown):
        tuned[name] = _tune(network, data, settings, progress=named(progress, name))
    metrics: dict[str, Metric] = {}
    counts: dict[str, Any] = dict(curves={}, largest_class=largest_classes(data)[0]["top1"].value)
    for name, trajectory in tuned.items():
        accuracy, right = evaluate(
            trajectory.classifier(), data.val, batch_size=settings.batch_size, progress=progress
        )
        metrics[f"{name}_speed"] = Metric(trajectory.speed, "%", "higher")
        metrics[f"{name}_top1"] = accuracy["top1"]
        counts["curves"][name] = list(trajectory.curve)
        counts |= {"label": right["label"], f"{name}_top1": right["top1"]}
    for name in settings.starts:
        gain = metrics[f"{name}_speed"].value - metrics["scratch_speed"].value
        metrics[f"{name}_gain"] = Metric(gain, "%", "higher")
    cost = dict(training_seconds=sum(trajectory.seconds for trajectory in tuned.values()))
    facts = tuned["scratch"].protocol
    facts = facts | dict(reference=reference_fact(settings.reference, initial))
    subject = dict(tuning_seed=settings.tuning_seed)
    return Result(metrics, counts, cost, facts=facts, subject=subject)


def _starts(
    extractor: FeatureExtractor, initial: FeatureExtractor, *, settings: Settings, shown: Shown
) -> Iterator[tuple[str, FeatureExtractor]]:
    """Name and network of every start made of the trained network."""
    for name in settings.starts:
        plan = StartPlan(layers=settings.layers, seed=settings.tuning_seed, **PLANS[name])
        backbone = make_start(extractor, initial, plan, shown=shown)
        # Fine-tunings keep networks apart by their weights.
        options = dict(mean=extractor.mean, std=extractor.std, spec=extractor.spec)
        yield name, FeatureExtractor(backbone, **options)


def _tune(
    network: FeatureExtractor, data: ClassFolder, settings: Settings, *, progress: Progress | None
) -> Trajectory:
    return fine_tuned(network, data, settings, seed=settings.tuning_seed, progress=progress)


def _expected(data: ClassFolder, settings: Settings) -> tuple[str, ...]:
    """Without the drawn start where the whole network is taken over."""
    missing = {"drawn"} - {*settings.starts}
    return tuple(name for name in METRICS if name.partition("_")[0] not in missing)


METRICS = (
    "drawn_gain",
    "trained_gain",
    "unscaled_gain",
    "scratch_speed",
    "drawn_speed",
    "trained_speed",
    "unscaled_speed",
    "scratch_top1",
    "drawn_top1",
    "trained_top1",
    "unscaled_top1",
)
BENCHMARK = Benchmark(
    name="aligned_start",
    about="what of a network's first layers speeds up a new training",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=METRICS,
    expected=_expected,
    quick=dict(epochs=4, size=32),
    figures=(STARTS,),
)
