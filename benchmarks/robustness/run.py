"""A classifier on one of the data sets, as it is: no further training. Counts per condition, then
their means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, shown_as, speed_only
from benchmarks.core.vectors import require_finite
from benchmarks.data.class_folder import ClassSplit
from benchmarks.data.loading import fingerprint, ordered_map
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt, generator
from benchmarks.robustness.folders import Condition, RobustnessData
from benchmarks.robustness.measures import METRICS, image_errors, summarise
from pretrain.names import check_choice
from pretrain.progress import Progress

_TOP = 5


class Scorer(Protocol):
    """What is measured; ``benchmarks.finetune.classifier.Classifier`` is one."""

    classes: tuple[str, ...]
    size: int
    crop_fraction: float
    device: torch.device

    def logits(self, images: Tensor) -> Tensor:
        """(B, 3, size, size) uint8, un-normalised, to scores (B, C) float32."""

    def describe(self) -> dict[str, Any]:
        """Plain values for ``Record.subject``."""


class Crop(NamedTuple):
    """How an image becomes a square: the shorter side is resized to ``size / fraction`` pixels, the
    centre is cut.
    """

    size: int
    fraction: float
    resample: Image.Resampling


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and classifier."""

    # which, and 1 to 5; mCE needs all
    corruptions: tuple[str, ...] = shown_as("corruptions", default=tuple(CORRUPTIONS))
    severities: tuple[int, ...] = shown_as("severities", default=SEVERITIES)
    # of what is drawn for images corrupted here
    seed: int = shown_as("corruption_seed", default=0)
    size: int | None = None  # side of the input in pixels; None: the classifier's own
    # of the resized image; None: the classifier's own, 1 for imagenet-c
    crop_fraction: float | None = None
    batch_size: int = speed_only(64)  # images classified at once

    def __post_init__(self) -> None:
        check_conditions(self.corruptions, self.severities)
        object.__setattr__(self, "corruptions", tuple(self.corruptions))
        object.__setattr__(self, "severities", tuple(self.severities))
        for name in ("size", "batch_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.crop_fraction is not None and not 0 < self.crop_fraction <= 1:
            raise ValueError(f"crop_fraction={self.crop_fraction} must be in (0, 1]")


def check_conditions(corruptions: Sequence[str], severities: Sequence[int]) -> None:
    """Checks what is asked for.

    Raises:
        ValueError: nothing, something twice, an unknown corruption or severity.
    """
    for name, values in (("corruptions", corruptions), ("severities", severities)):
        if not isinstance(values, (list, tuple)) or not values or len(set(values)) < len(values):
            raise ValueError(f"{name}={values!r} must be a list of one or more, nothing twice")
    for value in corruptions:
        check_choice("corruptions", value, CORRUPTIONS)
    if not set(severities) <= set(SEVERITIES):
        raise ValueError(f"severities={tuple(severities)} must be among 1, 2, 3, 4, 5")


def run(
    classifier: Scorer,
    data: RobustnessData,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Evaluates on every condition of a data set: errors in percent.

    Raises:
        ValueError: classes that the classifier does not know, missing folders, a broken image,
            scores that are not finite (the image is named).
    """
    fraction = settings.crop_fraction or (
        1.0 if data.kind == "imagenet-c" else classifier.crop_fraction
    )
    crop = Crop(settings.size or classifier.size, fraction, Image.Resampling.BICUBIC)
    counts, contents = evaluate(classifier, data, settings, crop=crop, progress=progress)
    facts = dict(
        data=dict(kind=data.kind, classes=len(data.class_names), **data.facts),
        size=crop.size,
        crop_fraction=fraction,
        masked=data.masked,
        resample="bicubic",
    )
    if data.kind == "imagenet-c":
        facts["data"]["content"] = fingerprint(contents)
    if "corruptions" in counts:
        facts |= dict(corruptions=list(settings.corruptions), severities=list(settings.severities))
    if data.generated:
        facts |= dict(corruption_seed=settings.seed, generated="ours")
    metrics = summarise(counts, alexnet=data.alexnet)
    return Result(metrics, counts, facts=facts)


def evaluate(
    classifier: Scorer,
    data: RobustnessData,
    settings: Settings,
    *,
    crop: Crop,
    progress: Progress | None = None,
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Counts errors.

    Args:
        classifier: What is measured.
        data: Images and conditions.
        settings: ``corruptions``, ``severities``, ``seed``, ``batch_size``.
        crop: How an image becomes a square.
        progress: Called with each batch, of all conditions together.

    Returns:
        ``clean`` and ``corruptions``, see ``measures.summarise``, ``classes`` (names), and
        ``per_image``: labels and metrics of every image, each corruption's among them; then name
        and fingerprint of the images of each condition.
    """
    conditions = data.conditions(settings.corruptions, settings.severities)
    columns = torch.tensor(data.columns(classifier.classes))
    counts: dict[str, Any] = {"classes": list(data.class_names), "per_image": {}}
    times: dict[int, dict[str, np.ndarray]] = {1: {}, _TOP: {}}
    contents = []
    for done, condition in enumerate(conditions):
        split = data.open(condition)
        contents.append((_title(condition), split.fingerprint))
        drawn = condition if data.generated else None
        images = _images(split, drawn, seed=settings.seed, crop=crop)
        wrong: dict[int, list[int]] = {1: [], _TOP: []}
        total = -(-len(split) // settings.batch_size)
        batches = _batches(images, len(split), settings.batch_size)
        for number, (batch, ids) in enumerate(batches, start=1):
            scores = classifier.logits(batch).cpu().float()
            require_finite(scores, ids, split=split, what="scores are")
            target = columns[split.labels[ids]]
            if data.masked:
                scores, target = scores[:, columns], split.labels[ids]
            for k, so_far in wrong.items():
                so_far += _not_among(scores, target, k)
            if progress:
                progress(_title(condition), done * total + number, len(conditions) * total)
        _note(counts, condition, split=split, wrong=wrong)
        name = "clean" if condition is None else condition[0]
        for k, own in wrong.items():
            if own:
                times[k][name] = times[k].get(name, 0) + np.array(own)
    table = image_errors(times, len(settings.severities), alexnet=data.alexnet)
    counts["per_image"] |= {name: column.tolist() for name, column in table.items()}
    return counts, contents


def _title(condition: Condition) -> str:
    return "as they are" if condition is None else f"{condition[0]} {condition[1]}"


def _images(
    split: ClassSplit, condition: Condition, *, seed: int, crop: Crop
) -> Iterator[np.ndarray]:
    """Images of a split in order, (size, size, 3) uint8, corrupted if there is a condition."""

    def make(index: int) -> np.ndarray:
        image = split.image(index, crop.size, crop.fraction, resample=crop.resample)
        if condition is None:
            return image
        return corrupt(image, *condition, generator(seed, split.key(index), *condition))

    return ordered_map(make, range(len(split)), 64)


def _batches(
    images: Iterator[np.ndarray], count: int, size: int
) -> Iterator[tuple[Tensor, list[int]]]:
    """Groups images into (B, 3, size, size) uint8, with their numbers."""
    for start in range(0, count, size):
        ids = list(range(start, min(count, start + size)))
        batch = np.stack(list(islice(images, len(ids))))
        yield torch.from_numpy(batch).permute(0, 3, 1, 2), ids


def _not_among(scores: Tensor, target: Tensor, k: int) -> list[int]:
    """1 for each image whose class is not among its k best, of equal scores the smaller class
    first; [] if k is all.
    """
    if scores.shape[1] <= k:
        return []
    best = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, :k]
    return (best != target[:, None]).all(1).int().tolist()


def _note(
    counts: dict[str, Any],
    condition: Condition,
    *,
    split: ClassSplit,
    wrong: dict[int, list[int]],
) -> None:
    """Adds the errors of one condition to the counts."""
    first, five = wrong[1], wrong[_TOP]
    row = dict(images=len(first), wrong=sum(first)) | (dict(wrong5=sum(five)) if five else {})
    labels = split.labels.tolist()
    per_image = counts["per_image"] or dict(image=list(range(len(labels))), label=labels)
    counts["per_image"] = per_image
    if condition is None:
        counts["clean"] = row
        return
    name, severity = condition
    if per_image["label"] != labels:
        raise ValueError(
            f"{name}/{severity} has other images than those before it: unpack it again"
        )
    counts.setdefault("corruptions", {}).setdefault(name, {})[str(severity)] = row


#: Of classifiers; that of frozen features is ``benchmarks.frozen.robustness``.
BENCHMARK = Benchmark(
    name="robustness",
    about="errors of a classifier on corrupted and other images",
    settings=Settings,
    run=run,
    data=RobustnessData,
    metrics=METRICS,
    expected=lambda data, settings: None,  # the images decide
)
