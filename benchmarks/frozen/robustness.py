"""Corruptions on frozen features: a linear probe is fitted on clean train images and applied to
corrupted ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.class_folder import ClassFolder
from benchmarks.frozen import linear
from benchmarks.frozen.baselines import Pixels, run_stand_in
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES
from benchmarks.robustness.folders import RobustnessData
from benchmarks.robustness.measures import summarise
from benchmarks.robustness.run import Crop, check_conditions, evaluate
from benchmarks.robustness.run import Settings as Conditions
from pretrain.progress import Progress

METRICS = (
    "error",
    "top5_error",
    "mean_corruption_error",
    "mean_corruption_top5_error",
    "error_increase",
)


@dataclass(frozen=True)
class Settings(linear.Settings):
    """The settings of the linear probe and those of the corruptions."""

    corruptions: tuple[str, ...] = tuple(CORRUPTIONS)  # which
    severities: tuple[int, ...] = SEVERITIES  # 1 to 5
    corruption_seed: int = 0  # of what is drawn for the images

    def __post_init__(self) -> None:
        super().__post_init__()
        check_conditions(self.corruptions, self.severities)
        object.__setattr__(self, "corruptions", tuple(self.corruptions))
        object.__setattr__(self, "severities", tuple(self.severities))


class ProbedNetwork:
    """A frozen network and a fitted linear probe as one classifier, see ``run.Scorer``.

    Args:
        extractor: The network.
        classes: Names in the order of the scores.
        settings: Of the probe.
        probe: Fitted.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        classes: tuple[str, ...],
        *,
        settings: Settings,
        probe: linear.Probe,
    ) -> None:
        self.extractor, self.classes, self.probe = extractor, tuple(classes), probe
        self.size, self.crop_fraction = settings.size, settings.crop_fraction

    def logits(self, images: Tensor) -> Tensor:
        """Scores (B, C) float32 of un-normalised images (B, 3, H, W) uint8."""
        return self.probe.scores(self.extractor.vector(images)).float()

    def describe(self) -> dict[str, Any]:
        """What the network says of itself."""
        return self.extractor.describe()


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Fits the probe on the train part, evaluates it on the validation part, clean and corrupted:
    mean errors in percent; those of each corruption stand in the counts.

    Raises:
        ValueError: vectors or scores that are not finite (named image), or a class of one image in
            train.
    """
    fitted = linear.fit_probe(extractor, data, settings, progress=progress)
    classifier = ProbedNetwork(extractor, data.class_names, settings=settings, probe=fitted.probe)
    images = RobustnessData("corrupted", data.root, data.class_names, data.val, {})
    conditions = Conditions(
        settings.corruptions,
        settings.severities,
        settings.corruption_seed,
        batch_size=settings.batch_size,
    )
    crop = Crop(settings.size, settings.crop_fraction, Image.Resampling.BILINEAR)
    counts, _ = evaluate(classifier, images, conditions, crop=crop, progress=progress)
    summary = summarise(counts, alexnet=False)
    metrics = {name: metric for name, metric in summary.items() if name in METRICS}
    facts = dict(generated="ours", readout="linear probe on clean images")
    return Result(metrics, counts, fitted.cost, facts)


def _pixels(data: ClassFolder, settings: Settings, *, progress: Progress | None = None) -> Result:
    return run_stand_in(run, Pixels(), data=data, settings=settings, progress=progress)


def _expected(data: ClassFolder, settings: Settings) -> tuple[str, ...]:
    if data.classes > 5:
        return METRICS
    return tuple(name for name in METRICS if "top5" not in name)


BENCHMARK = Benchmark(
    name="robustness",
    about="errors of a linear probe on corrupted images",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=METRICS,
    expected=_expected,
    quick=dict(size=96, weight_decays=(1e-2,), severities=(3,)),
    baselines=dict(pixels=_pixels),
)
