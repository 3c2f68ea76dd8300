"""Learning rates of published recipes, as factors of the peak at iteration g = 0, 1, …

With T iterations in all, I per epoch and W of warm-up:

    dinov3            (1 − (1 − t/W)(1 − 10⁻⁶))·(1 − t/T) while t < W, then ½(1 + cos(π(t + 1)/T)),
                      t = max(g − 1, 0): a small step down at t = W is in the original
    poly              1 − g/T, while g < W times the same rise 1 − (1 − g/W)(1 − 10⁻⁶)
    cosine            ½(1 + cos(πg/T))
    cosine-epochs     ½(1 + cos(π⌊g/I⌋·I/T)): a step per epoch
    cosine-20         ½(1 + cos(πg/20)): down and up again every 40 iterations, however long the
                      training is
    drops             0.1 to the power of how many of the epochs ``drops`` have begun
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

_WARMUP_START = 1e-6  # factor of the first iteration of a warm-up
_HALF_PERIOD = 20  # iterations of "cosine-20", the number of epochs in the original


@dataclass(frozen=True)
class Course:
    """How long a training is.

    Attributes:
        iterations: T.
        per_epoch: I.
        warmup: W, iterations.
        drops: epochs, 0 first, at whose start the learning rate drops to a tenth.
    """

    iterations: int
    per_epoch: int
    warmup: int = 0
    drops: tuple[int, ...] = ()


def _half_cosine(share: float) -> float:
    """1 at 0, 0 at 1, 1 again at 2."""
    return 0.5 * (1 + math.cos(math.pi * share))


def _warmed_up(t: int, course: Course) -> float:
    """The linear decay, times a rise over the warm-up."""
    rise = 1 - (1 - t / course.warmup) * (1 - _WARMUP_START) if t < course.warmup else 1.0
    return rise * (1 - t / course.iterations)


def _dinov3(g: int, course: Course) -> float:
    t = max(g - 1, 0)
    if t < course.warmup:
        return _warmed_up(t, course)
    return _half_cosine((t + 1) / course.iterations)


def _cosine(g: int, course: Course) -> float:
    return _half_cosine(g / course.iterations)


def _cosine_epochs(g: int, course: Course) -> float:
    return _half_cosine(g // course.per_epoch * course.per_epoch / course.iterations)


def _cosine_20(g: int, course: Course) -> float:
    return _half_cosine(g / _HALF_PERIOD)


def _drops(g: int, course: Course) -> float:
    epoch = g // course.per_epoch
    return 0.1 ** sum(epoch >= drop for drop in course.drops)


SCHEDULES: dict[str, Callable[[int, Course], float]] = {
    "dinov3": _dinov3,
    "poly": _warmed_up,
    "cosine": _cosine,
    "cosine-epochs": _cosine_epochs,
    "cosine-20": _cosine_20,
    "drops": _drops,
}
