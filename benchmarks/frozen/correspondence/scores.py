"""PCK of predicted points, by every published average."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from benchmarks.core.benchmark import Result
from benchmarks.core.record import Metric
from benchmarks.data.correspondences.pair import PointPair
from benchmarks.data.keypoints import KeypointPairs
from benchmarks.frozen.correspondence.frames import Frame
from benchmarks.frozen.correspondence.settings import Settings


def result_of(data: KeypointPairs, settings: Settings, predicted: Sequence[np.ndarray]) -> Result:
    """Scores predictions, (K, 2) in pixels of the target for every pair in order.

    In the counts, ``per_image`` has what each pair contributes: the metric is the mean of these
    numbers. For ``average="image"`` they are the shares of the pairs; else a pair weighs as much as
    it has points, or as its category has few pairs or points.

    Raises:
        ValueError: no pair, a pair without keypoints, a distance that is not a number, an object
            without a box where distances are shares of it.
    """
    relative_to = settings.relative_to or data.relative_to
    errors = []  # per pair, ‖prediction − truth‖ / L of every keypoint
    for pair, points in zip(data.pairs, predicted, strict=True):
        errors.append(_relative_errors(data, pair, points, settings=settings, side=relative_to))
        if not len(errors[-1]) or not np.isfinite(errors[-1]).all():
            names = " and ".join(str(data.images[index].path) for index in pair.images)
            raise ValueError(
                f"{names}: a pair without keypoints, or with a point or prediction that is not a "
                "number"
            )
    if not errors:
        raise ValueError("correspondence: the data hold no pair of images of one object")
    weights = pair_weights(
        settings.average,
        points=[len(error) for error in errors],
        categories=[pair.category for pair in data.pairs],
    )
    metrics, table = {}, dict(image=list(range(len(errors))))  # what is scored are pairs
    for name, alpha in zip(settings.metrics, settings.alphas, strict=True):
        shares = [share_within(error, alpha, strict=settings.strict) for error in errors]
        contributions = np.array(shares) * weights
        metrics[name] = Metric(100 * float(np.mean(contributions)), "%", "higher")
        table[name] = [100 * float(value) for value in contributions]
    counts = dict(relative_error=[error.round(6).tolist() for error in errors], per_image=table)
    counts |= dict(pairs=[list(pair.images) for pair in data.pairs])
    return Result(metrics, counts, facts=dict(relative_to=relative_to))


def share_within(errors: np.ndarray, alpha: float, *, strict: bool) -> float:
    """Share of errors (K,), in units of L, that are ≤ α, or < α."""
    return float((errors < alpha if strict else errors <= alpha).mean())


def pair_weights(average: str, *, points: Sequence[int], categories: Sequence[str]) -> np.ndarray:
    """(P,) weights whose mean is 1 and with which the mean of weight · share over P pairs is the
    average asked for.

    Args:
        average: As in :class:`Settings`.
        points: of each pair.
        categories: of each pair.
    """
    own = np.array(points, np.float64) if "point" in average else np.ones(len(points))
    if average in ("image", "point"):
        return own * len(own) / own.sum()
    totals: Counter[str] = Counter()
    for category, weight in zip(categories, own, strict=True):
        totals[category] += weight
    return own * len(own) / np.array([totals[category] for category in categories]) / len(totals)


def _relative_errors(
    data: KeypointPairs, pair: PointPair, points: np.ndarray, *, settings: Settings, side: str
) -> np.ndarray:
    """(K,) distances from the truth in units of L."""
    target = data.images[pair.target]
    if side == "box" and pair.box is None:
        raise ValueError(
            f"{target.path}: the box of its object is not known here, set relative_to=image or add "
            f"the annotations; layout {data.layout!r}"
        )
    length = max(pair.box if side == "box" else target.size)
    if settings.frame == "image":
        return np.linalg.norm(points - pair.target_points, axis=1) / length
    frame = Frame(target.size, settings.size, settings.fit)
    apart = frame.to_input(points) - frame.to_input(pair.target_points)
    return np.linalg.norm(apart, axis=1) / (length * frame.length_scale)
