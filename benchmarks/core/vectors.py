"""Frozen vectors of a class folder: what kNN and linear probe start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data.class_folder import ClassFolder, ClassSplit
from benchmarks.data.pairs import PairSplit
from pretrain.progress import Progress

TOP = ("top1", "top5")  # metrics of a classification


class VectorSettings(Protocol):
    """How images become vectors.

    Attributes:
        size: side of the square input in pixels.
        crop_fraction: the shorter side is resized to size / crop_fraction, then the centre is cut.
        batch_size: images encoded at once.
    """

    size: int
    crop_fraction: float
    batch_size: int


def check_settings(settings: VectorSettings, positive: Sequence[str]) -> None:
    """Checks what the settings of kNN and linear probe share.

    Args:
        settings: the settings. positive: fields that must be above 0.

    Raises:
        ValueError: names the field, its value and what is legal.
    """
    for name in positive:
        if not getattr(settings, name) > 0:
            raise ValueError(f"{name}={getattr(settings, name)!r} must be greater than 0")
    if not 0 < settings.crop_fraction <= 1:
        raise ValueError(f"crop_fraction={settings.crop_fraction} must be in (0, 1]")


def encode_split(
    extractor: FeatureExtractor,
    split: ClassSplit,
    settings: VectorSettings,
    *,
    phase: str,
    progress: Progress | None = None,
) -> Tensor:
    """Encodes a split in order: (n, D) float32 on the CPU.

    Raises:
        ValueError: a vector that is not finite; names the image.
    """
    vectors = []
    batches = split.batches(
        settings.size, settings.batch_size, crop_fraction=settings.crop_fraction
    )
    total = -(-len(split) // settings.batch_size)
    for images, ids in batches:
        encoded = extractor.vector(images).cpu()
        require_finite(encoded, ids, split=split, what="vector is")
        vectors.append(encoded)
        if progress:
            progress(phase, len(vectors), total)
    return torch.cat(vectors)


def require_finite(
    values: Tensor, ids: Sequence[int], *, split: ClassSplit | PairSplit, what: str
) -> None:
    """Refuses values (B, D) that are not finite.

    Args:
        values: a row per image.
        ids: the images' numbers in the split.
        split: knows the images' names.
        what: the values and their verb, for the message.

    Raises:
        ValueError: names the first such image.
    """
    broken = ~torch.isfinite(values).all(1)
    if broken.any():
        name = split.name(ids[int(broken.nonzero()[0])])
        raise ValueError(f"{name}: its {what} not finite; did training diverge?")


def top_of(data: ClassFolder, settings: Any) -> tuple[str, ...]:
    """Those of ``TOP`` that say something about so many classes, see :func:`accuracy`."""
    return TOP if data.classes > 5 else TOP[:1]


def accuracy(scores: Tensor, labels: Tensor) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Top-1 and top-5 accuracy in percent (top-5 only with more than five classes), and which
    images were right.

    Args:
        scores: (n, C), larger is likelier. Among equal scores the smaller class wins.
        labels: (n,) int64.

    Raises:
        ValueError: no image, or a score that is not finite (its rank would mean nothing).

    Returns:
        Metrics; counts: ``label`` (n) and ``top1`` (n) 0/1, ``top5`` likewise, for the bootstrap
        over images.
    """
    if not len(scores) or not torch.isfinite(scores.double()).all():
        raise ValueError(
            f"scores of {len(scores)} val images: at least one image, and all of them finite, "
            "are needed"
        )
    ranked = torch.sort(scores, dim=1, descending=True, stable=True).indices
    metrics, counts = {}, {"label": labels.tolist()}
    for k in (1, 5):
        if scores.shape[1] > k:
            right = (ranked[:, :k] == labels[:, None]).any(1)
            metrics[f"top{k}"] = Metric(100 * right.double().mean().item(), "%", "higher")
            counts[f"top{k}"] = right.int().tolist()
    return metrics, counts
