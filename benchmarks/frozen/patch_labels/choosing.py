"""Choosing settings on a held-back part of the train images, and scoring patch by patch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.scores import SegmentationTally, mean_iou
from benchmarks.data import SegmentationFolder
from benchmarks.data.label_maps import IGNORE
from benchmarks.frozen.patch_labels.patches import (
    Patches,
    batches_of,
    encode,
    whole_mask,
)
from benchmarks.frozen.patch_labels.settings import PatchSettings
from pretrain.progress import Progress

_PIECE = 8192  # patches classified at once
Choice = TypeVar("Choice")
#: Labels (N, p²) of patches (N, D), counted from 1; 0 is what counts nowhere.
Classifier = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Chosen(Generic[Choice]):
    """What was chosen.

    Attributes:
        choice: of the settings.
        tried: mIoU in percent on the held-back images of each; empty where there was no choice.
    """

    choice: Choice
    tried: Mapping[str, float]


def choose(
    patches: Patches,
    choices: tuple[Choice, ...],
    fit: Callable[[Patches, tuple[Choice, ...]], Iterator[tuple[Choice, Classifier]]],
    *,
    settings: PatchSettings,
    classes: int,
) -> Chosen[Choice]:
    """Picks one of several settings by mIoU on held-back images, the first among equals.

    Args:
        patches: of the train part.
        choices: the settings.
        fit: yields each with the classifier that some patches make.
        settings: share and seed.
        classes: C.

    Raises:
        ValueError: there is a choice, and no image to hold back or none to keep; or those held
            back have no labelled pixel.
    """
    if len(choices) == 1:
        return Chosen(choices[0], {})
    images = patches.images.unique().cpu().numpy()
    held = round(settings.held_back * len(images))
    if not 0 < held < len(images):
        raise ValueError(
            f"held_back={settings.held_back} of {len(images)} train images is {held}: the choice "
            "needs images on both sides; take more images, or name one of each setting"
        )
    drawn = np.random.default_rng(settings.seed).permutation(images)[:held]
    out = torch.isin(patches.images, torch.from_numpy(drawn).to(patches.images.device))
    kept, judged = patches.of(~out).labelled, patches.of(out)
    if not len(kept.images):
        raise ValueError(
            f"no patch of the {len(images) - held} train images that are not held back has a class"
        )
    results: dict[Choice, float] = {}
    for choice, classifier in fit(kept, choices):
        tally = SegmentationTally(classes + 1)
        pieces = zip(judged.features.split(_PIECE), judged.labels.split(_PIECE), strict=True)
        for features, labels in pieces:
            count(tally, classifier(features), target=labels)
        if not tally.confusion.any():
            raise ValueError(f"the {held} held-back train images have no labelled pixel")
        results[choice] = 100 * mean_iou(tally.confusion)
    best = max(results, key=results.get)
    return Chosen(best, {str(choice): value for choice, value in results.items()})


def count(tally: SegmentationTally, predicted: Tensor, *, target: Tensor, image: int = 0) -> None:
    """Counts the pixels of an image, of any shape; what counts nowhere is the last class of the
    prediction, and left out of the truth.

    Args:
        tally: of C + 1 classes.
        predicted, target: labels counted from 1.
        image: its number, where counts per image are wanted.
    """
    predicted, target = predicted.long(), target.long()
    nowhere = tally.classes - 1
    predicted = torch.where(predicted == 0, nowhere, predicted - 1)
    tally.add(predicted, torch.where(target == 0, IGNORE, target - 1), image)


def score(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: PatchSettings,
    *,
    classifier: Classifier,
    progress: Progress | None,
) -> SegmentationTally:
    """Classifies the patches of the val part, and scores their pixels."""
    tally = SegmentationTally(data.classes + 1)
    for batch in batches_of(data.val, settings, phase="score", progress=progress):
        encoded = encode(extractor, batch, split=data.val, size=settings.size)
        labels = classifier(encoded.flatten(0, 1)).view(*encoded.shape[:2], -1)  # (B, N, p²)
        for own, mask, image in zip(labels, batch.masks, batch.ids, strict=True):
            predicted = whole_mask(own, settings.size, extractor.stride).cpu()
            target = torch.where(mask == IGNORE, 0, mask + 1)
            count(tally, predicted, target=target, image=image)
    return tally
