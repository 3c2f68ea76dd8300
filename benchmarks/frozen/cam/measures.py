"""The formulas of CAM quality, all in shares; percent only in the metrics and their counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.record import Metric, require_defined

_BETTER = dict(
    ADCC="higher",
    average_drop="lower",
    average_increase="higher",
    average_gain="higher",
    coherency="higher",
    complexity="lower",
    area="lower",
    classified_correctly="higher",
)
METRICS = tuple(_BETTER)


def gain(y: np.ndarray, o: np.ndarray) -> np.ndarray:
    """max(0, O − Y) / (1 − Y) of each image, (n,); one of score 1 cannot gain and counts 0."""
    more = np.maximum(0, o - y)
    return np.divide(more, 1 - y, out=np.zeros_like(more), where=y < 1)


def coherency(first: Tensor, second: Tensor) -> Tensor:
    """(1 + ρ) / 2 of each pair of maps (B, H, W), float64 (B,); ρ = 0 where a map is constant."""
    flat = (maps.flatten(1).double() for maps in (first, second))
    a, b = (values - values.mean(1, keepdim=True) for values in flat)
    norms = a.norm(dim=1) * b.norm(dim=1)
    return (1 + torch.where(norms > 0, (a * b).sum(1) / norms.clamp_min(1e-300), 0.0)) / 2


def complexity(maps: Tensor) -> Tensor:
    """Mean of each map (B, H, W) in [0, 1], its L1 norm per pixel: float64 (B,)."""
    return maps.double().mean((1, 2))


def area(maps: Tensor) -> Tensor:
    """Share of each map's pixels (B, H, W) above 0, however little: float64 (B,)."""
    return (maps > 0).double().mean((1, 2))


def drop(y: np.ndarray, o: np.ndarray) -> np.ndarray:
    """max(0, Y − O) / Y of each image, of scores (n,) on images and on masked images."""
    return np.maximum(0, y - o) / y


def adcc(coherency: np.ndarray, complexity: np.ndarray, drop: np.ndarray) -> np.ndarray:
    """Harmonic mean of coherency, 1 − complexity and 1 − drop of each image (n,); 0 where one of
    them is 0."""
    parts = np.stack([coherency, 1 - complexity, 1 - drop]).astype(np.float64)
    positive = (parts > 0).all(0)
    return np.where(positive, 3 / (1 / np.where(parts > 0, parts, 1)).sum(0), 0.0)


def summarise(
    table: dict[str, list], labels: np.ndarray, *, only_correct: bool
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Averages over images.

    Args:
        table: columns ``image``, ``predicted``, ``Y``, ``O``, ``coherency``, ``complexity`` and
            ``area``, one entry per image.
        labels: (n,) true classes, by image.
        only_correct: Average over correctly classified images only.

    Returns:
        ``METRICS`` in percent; the table with a column ``label`` and one for each metric, in
        percent too: NaN for images that were left out.

    Raises:
        ValueError: none was averaged, or a score is not a number.
    """
    columns = {name: np.array(column) for name, column in table.items()}
    columns["label"] = labels[np.array(table["image"], np.int64)]
    right = columns["label"] == columns["predicted"]
    kept = right if only_correct else np.ones_like(right)
    if not kept.any():
        raise ValueError(
            f"none of {len(right)} images is classified correctly; set only_correct=False"
        )
    y, o = columns["Y"], columns["O"]
    shares = {name: columns[name] for name in ("coherency", "complexity", "area")}
    shares |= dict(average_drop=drop(y, o), average_increase=o > y, average_gain=gain(y, o))
    shares["ADCC"] = adcc(shares["coherency"], shares["complexity"], shares["average_drop"])
    shares["classified_correctly"] = right
    parts = dict.fromkeys(_BETTER, kept) | dict(classified_correctly=np.ones_like(right))
    metrics = {}
    for name, better in _BETTER.items():
        metrics[name] = Metric(100 * float(np.mean(shares[name][parts[name]])), "%", better)
        columns[name] = np.where(parts[name], 100 * shares[name], np.nan)
    missing = "scores of the images, masked or not, must be finite and above 0"
    counts = {name: column.tolist() for name, column in columns.items()}
    return require_defined("cam", metrics, missing), counts
