"""The benchmark: classifier, maps, masked images, record."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data.class_folder import ClassFolder
from benchmarks.frozen import linear
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.cam.maps import Classifier, Pooled, activation_maps, masked
from benchmarks.frozen.cam.measures import METRICS, area, coherency, complexity, summarise
from pretrain.names import check_choice
from pretrain.progress import Progress

_COLOUR_STRIDE = 8  # pixels per mean colour of the maps that stand for a network's
_COLUMNS = ("image", "predicted", "Y", "O", "coherency", "complexity", "area")


@dataclass(frozen=True)
class Settings(linear.Settings):
    """The settings of the linear probe, which makes the classifier, and those of the maps."""

    images: int = 2000  # validation images looked at, at most, evenly spread over the part
    only_correct: bool = True  # leave out images that the classifier gets wrong
    mask: str = "normalised"  # normalised: M itself; positive: 1 where M > 0, else 0
    batch_size: int = speed_only(16)  # images at once: upsampled maps are large

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("mask", self.mask, ("normalised", "positive"))
        if self.images < 1:
            raise ValueError(f"images={self.images} must be at least 1")


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs CAM quality: ``METRICS`` in percent.

    Counts: per image its label and class, Y, O and ``METRICS``.

    Raises:
        ValueError: no image is left to look at; a vector or a map is not finite; a class of one
            image in train.
    """
    low = Pooled(extractor)
    fitted = linear.fit_probe(low, data, settings, progress=progress)
    classifier = classifier_of(fitted.probe)
    step = -(-len(data.val) // settings.images)
    table: dict[str, list] = {name: [] for name in _COLUMNS}
    done, total = 0, -(-len(data.val) // settings.batch_size)
    for images, ids in data.val.batches(
        settings.size, settings.batch_size, crop_fraction=settings.crop_fraction
    ):
        chosen = [row for row, image in enumerate(ids) if image % step == 0]
        if chosen:
            rows = _look(
                extractor,
                images[chosen].to(extractor.device).float() / 255,
                low=low,
                classifier=classifier,
                mask=settings.mask,
            )
            for name, column in (rows | dict(image=torch.tensor(ids)[chosen])).items():
                table[name] += column.tolist()
        done += 1
        if progress:
            progress("class activation maps", done, total)
    metrics, per_image = summarise(
        table, data.val.labels.numpy(), only_correct=settings.only_correct
    )
    facts = dict(
        pooling="mean of the map",
        faded_to="mean colour",
        complexity="mean of M",
        adcc="mean over images",
    )
    return Result(metrics, dict(per_image=per_image), fitted.cost, facts)


def classifier_of(probe: linear.Probe) -> Classifier:
    """The probe with its standardisation folded into weight and bias, float32."""
    weight = probe.weight / probe.std
    return Classifier(weight.float(), (probe.bias - weight @ probe.mean).float())


def _look(
    extractor: FeatureExtractor,
    images: Tensor,
    *,
    low: Pooled,
    classifier: Classifier,
    mask: str,
) -> dict[str, Tensor]:
    """A value per image (B,) for all columns but ``image``; images (B, 3, H, W) float in [0, 1]."""
    maps = low.maps(images)
    before, predicted = classifier(maps.mean((2, 3))).max(1)
    weights = classifier.weight[predicted]
    activation = activation_maps(extractor, images, maps=maps, weights=weights)
    kept = activation if mask == "normalised" else (activation > 0).float()
    hidden = masked(extractor, images, kept)
    maps = low.maps(hidden)
    again = activation_maps(extractor, hidden, maps=maps, weights=weights)
    after = classifier(maps.mean((2, 3))).gather(1, predicted[:, None])[:, 0]
    return dict(
        predicted=predicted,
        Y=before.double(),
        O=after.double(),
        complexity=complexity(activation),
        area=area(activation),
        coherency=coherency(activation, again),
    )


def _colour_position(
    data: ClassFolder, settings: Settings, *, progress: Progress | None = None
) -> Result:
    """Activation maps of a classifier that knows mean colours only: a mean tells no place."""
    network = ColourPosition(_COLOUR_STRIDE)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="cam",
    about="how well class activation maps find what a linear classifier goes by",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=METRICS,
    quick=dict(size=96, weight_decays=(1e-2,), images=500),
    baselines=dict(colour_position=_colour_position),
    upsampled_stride=1,
)
