"""The benchmark: classifier, maps, masked images, record."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, versions
from benchmarks.core.vectors import encode_split
from benchmarks.data.class_folder import ClassFolder
from benchmarks.frozen import linear
from benchmarks.frozen.cam.maps import Classifier, Pooled, activation_maps, masked
from benchmarks.frozen.cam.measures import area, coherency, complexity, summarise
from pretrain.names import check_choice
from pretrain.progress import Progress

_COLUMNS = ("image", "predicted", "Y", "O", "coherency", "complexity", "area")


@dataclass(frozen=True)
class Settings(linear.Settings):
    """The settings of the linear probe, which makes the classifier, and those of the maps."""

    images: int = 2000  # validation images looked at, at most, evenly spread over the part
    only_correct: bool = True  # leave out images that the classifier gets wrong
    mask: str = "normalised"  # normalised: M itself; positive: 1 where M > 0, else 0
    batch_size: int = 16  # images at once: upsampled maps are large; changes speed, not the result

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
) -> Record:
    """Runs CAM quality: record ``cam`` with ``METRICS`` in percent.

    Counts: per image its label and class, Y, O, and as shares coherency, complexity, area and ADCC.

    Raises:
        ValueError: no image is left to look at; a vector or a map is not finite; a class of one
            image in train.
    """
    started = time.perf_counter()
    low = Pooled(extractor)
    classifier, decay = fit_classifier(low, data, settings, progress)
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
                low,
                classifier,
                images[chosen].to(extractor.device).float() / 255,
                settings,
            )
            for name, column in (rows | dict(image=torch.tensor(ids)[chosen])).items():
                table[name] += column.tolist()
        done += 1
        if progress:
            progress("class activation maps", done, total)
    metrics, per_image = summarise(
        table, data.val.labels.numpy(), only_correct=settings.only_correct
    )
    protocol = linear.protocol_of(data, settings) | dict(
        images=settings.images,
        only_correct=settings.only_correct,
        mask=settings.mask,
        pooling="mean of the map",
        faded_to="mean colour",
        complexity="mean of M",
        adcc="mean over images",
    )
    cost = dict(seconds=time.perf_counter() - started, weight_decay_chosen=decay)
    counts, beside = dict(per_image=per_image), versions(str(extractor.device))
    return Record(
        "cam",
        metrics,
        protocol,
        counts=counts,
        cost=cost,
        subject=extractor.describe(),
        versions=beside,
    )


def fit_classifier(
    low: Pooled, data: ClassFolder, settings: Settings, progress: Progress | None = None
) -> tuple[Classifier, float]:
    """Fits the linear classifier on the train part; returns it and the weight decay that was
    chosen.
    """
    linear.require_divisible(data, settings)
    vectors = encode_split(
        low,
        data.train,
        size=settings.size,
        batch_size=settings.batch_size,
        crop_fraction=settings.crop_fraction,
        phase="encode train",
        progress=progress,
    ).to(low.device, getattr(torch, settings.dtype))
    labels = data.train.labels.to(low.device)
    decay, _ = linear.choose_weight_decay(vectors, labels, data.classes, settings)
    weight, bias, mean, std = linear.fit(vectors, labels, data.classes, (decay,), settings)[decay]
    weight = weight / std
    return Classifier(weight.float(), (bias - weight @ mean).float()), decay


def _look(
    extractor: FeatureExtractor,
    low: Pooled,
    classifier: Classifier,
    images: Tensor,
    settings: Settings,
) -> dict[str, Tensor]:
    """A value per image (B,) for all columns but ``image``; images (B, 3, H, W) float in [0, 1]."""
    maps = low.maps(images)
    before, predicted = classifier(maps.mean((2, 3))).max(1)
    weights = classifier.weight[predicted]
    shown = activation_maps(extractor, images, maps, weights)
    hidden = masked(
        extractor, images, shown if settings.mask == "normalised" else (shown > 0).float()
    )
    maps = low.maps(hidden)
    after = classifier(maps.mean((2, 3))).gather(1, predicted[:, None])[:, 0]
    return dict(
        predicted=predicted,
        Y=before.double(),
        O=after.double(),
        complexity=complexity(shown),
        area=area(shown),
        coherency=coherency(shown, activation_maps(extractor, hidden, maps, weights)),
    )
