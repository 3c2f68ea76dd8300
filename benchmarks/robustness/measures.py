"""Errors and their means: mean corruption error, with AlexNet's errors as the unit where these are
defined.

With E(c, s) the top-1 error under corruption c at severity s:
    error of c          E(c) = mean over s of E(c, s)
    mean error          mean over c of E(c)
    corruption error    CE(c) = E(c) / E_AlexNet(c)    (published: sums over the five severities)
    mCE                 mean over c of CE(c), all 15 corruptions
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.core.record import Metric, Record
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES

#: Top-1 errors of AlexNet on the published ImageNet-C files, mean of the five severities, as
#: listed in the README of the authors' repository (hendrycks/robustness, "AlexNet ImageNet-C
#: Error") to this digit.
ALEXNET_ERROR = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}

#: What a record may hold: each corruption's error stands under its own name.
METRICS = (
    "error",
    "top5_error",
    "mean_corruption_error",
    "mean_corruption_top5_error",
    "error_increase",
    "mCE",
    *CORRUPTIONS,
)

Errors = Mapping[str, Mapping[int, float]]  # corruption -> severity -> error in [0, 1]


def mean_error(errors: Errors) -> float:
    """Mean over corruptions of the mean over severities."""
    return float(np.mean(list(_means(errors).values())))


def mean_normalised_error(errors: Errors, reference: Mapping[str, float]) -> float:
    """mCE: mean over corruptions of E(c) / reference(c); 1 is as good as the reference.

    Raises:
        ValueError: the corruptions differ, or the reference makes no error under one of them.
    """
    if set(errors) != set(reference):
        odd = sorted(set(errors) ^ set(reference))
        raise ValueError(f"both need the same corruptions; they differ in {', '.join(odd)}")
    perfect = [name for name, error in reference.items() if error <= 0]
    if perfect:
        raise ValueError(
            f"the reference makes no error under {', '.join(perfect)}: nothing can be divided by it"
        )
    ratios = [error / reference[name] for name, error in _means(errors).items()]
    return float(np.mean(ratios))


def relative_to(record: Record, reference: Record) -> float:
    """mCE in percent of one record with another's errors as the unit, which replaces AlexNet where
    it has none.

    Raises:
        ValueError: unequal protocols, no corruptions, or a reference without errors.
    """
    if record.protocol_hash != reference.protocol_hash:
        raise ValueError(
            f"protocols {record.protocol_hash} and {reference.protocol_hash} differ: errors of "
            "one are no unit for the other"
        )
    errors = _errors(record.counts)
    if not errors:
        raise ValueError("a record without corruptions has nothing to be normalised")
    return 100 * mean_normalised_error(errors, _means(_errors(reference.counts)))


def _errors(counts: dict[str, Any], key: str = "wrong") -> dict[str, dict[int, float]]:
    """Error of every corruption and severity; keys of severities are text in a record that was
    read.
    """
    errors: dict[str, dict[int, float]] = {}
    for name, levels in counts.get("corruptions", {}).items():
        errors[name] = {int(s): level[key] / level["images"] for s, level in levels.items()}
    return errors


def _means(errors: Errors) -> dict[str, float]:
    """Mean over severities of each corruption."""
    return {name: float(np.mean(list(levels.values()))) for name, levels in errors.items()}


def image_errors(
    wrong: Mapping[int, Mapping[str, np.ndarray]], severities: int, *, alexnet: bool
) -> dict[str, np.ndarray]:
    """The metrics of :func:`summarise` for every image, in percent: all are means over images.

    Args:
        wrong: k (1 and 5) -> ``clean`` or a corruption -> (n,) how often, over the severities, the
            class of each image was not among the k best; any of them may be missing.
        severities: how many there are of each corruption.
        alexnet: as for :func:`summarise`.
    """
    table, errors = {}, {}
    for k, word in ((5, "top5_"), (1, "")):
        errors = {name: 100 * times for name, times in wrong[k].items()}
        if "clean" in errors:
            table[f"{word}error"] = errors.pop("clean")
        if errors:
            errors = {name: error / severities for name, error in errors.items()}
            table[f"mean_corruption_{word}error"] = np.mean(list(errors.values()), axis=0)
    if errors and "error" in table:
        table["error_increase"] = table["mean_corruption_error"] - table["error"]
    if alexnet and set(errors) == set(ALEXNET_ERROR) and severities == len(SEVERITIES):
        ratios = [error / ALEXNET_ERROR[name] for name, error in errors.items()]
        table["mCE"] = np.mean(ratios, axis=0)
    return table | errors


def summarise(counts: dict[str, Any], *, alexnet: bool) -> dict[str, Metric]:
    """Metrics in percent of counts as ``run.evaluate`` makes them.

    Args:
        counts: ``clean`` -> {images, wrong, wrong5}, ``corruptions`` -> name -> severity (text) ->
            the same; each may be missing, and so may ``wrong5``.
        alexnet: Whether AlexNet's errors are the right unit: the complete published files. mCE
            needs all 15 corruptions at all five severities besides.
    """
    metrics = {}
    clean = counts.get("clean")
    if clean:
        metrics["error"] = Metric(100 * clean["wrong"] / clean["images"], "%", "lower")
        if "wrong5" in clean:
            metrics["top5_error"] = Metric(100 * clean["wrong5"] / clean["images"], "%", "lower")
    errors = _errors(counts)
    if not errors:
        return metrics
    metrics["mean_corruption_error"] = Metric(100 * mean_error(errors), "%", "lower")
    levels = [level for own in counts["corruptions"].values() for level in own.values()]
    if all("wrong5" in level for level in levels):
        top5 = 100 * mean_error(_errors(counts, "wrong5"))
        metrics["mean_corruption_top5_error"] = Metric(top5, "%", "lower")
    if clean:
        increase = metrics["mean_corruption_error"].value - metrics["error"].value
        metrics["error_increase"] = Metric(increase, "%", "lower")
    whole = set(errors) == set(ALEXNET_ERROR)
    if alexnet and whole and all(set(own) == set(SEVERITIES) for own in errors.values()):
        metrics["mCE"] = Metric(100 * mean_normalised_error(errors, ALEXNET_ERROR), "%", "lower")
    for name, error in _means(errors).items():
        metrics[name] = Metric(100 * error, "%", "lower")
    return metrics
