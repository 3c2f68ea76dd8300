"""Learning rates of AdamW at each step t of T, W of them warm-up; t counts from 0.

``cosine``: the cosine to a floor, times a linear warm-up that starts from a small factor:

    lr · (floor + (1 − floor) · ½(1 + cos(πt/T))) · (1 − (1 − t/W)(1 − warmup_from))

``one-cycle`` (the depth evaluation of DINOv3): β₁ is 0 in the warm-up and then rises from .85 to
.95 with the same cosine (the authors' curve between the two was not at hand):

    t < W:   lr / 1000 + lr · ½(1 + cos(πt/T)) · t/W
    else:    the cosine from lr to lr / 25 000, at (t + 1) / T
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SCHEDULES = ("cosine", "one-cycle")
_FIRST, _LAST = 1 / 1000, 1 / 25_000  # of one-cycle's peak
_BETA1 = 0.85, 0.95  # one-cycle's, after the warm-up


@dataclass(frozen=True)
class Schedule:
    """Learning rate and β₁ of each step.

    Attributes:
        kind: ``cosine`` or ``one-cycle``.
        lr: Peak.
        steps: T.
        warmup_steps: W.
        warmup_from, floor: Of ``cosine``.
        beta1: Of ``cosine``.
    """

    kind: str
    lr: float
    steps: int
    warmup_steps: int
    warmup_from: float = 0.0
    floor: float = 0.0
    beta1: float = 0.9

    def rate(self, step: int) -> float:
        """Learning rate of a step, 0 first."""
        if self.kind == "one-cycle":
            if step < self.warmup_steps:
                rising = _cosine(step / self.steps) * step / self.warmup_steps
                return self.lr * (_FIRST + rising)
            return self.lr * (_LAST + (1 - _LAST) * _cosine((step + 1) / self.steps))
        rate = self.lr * (self.floor + (1 - self.floor) * _cosine(step / self.steps))
        if step < self.warmup_steps:
            rate *= 1 - (1 - step / self.warmup_steps) * (1 - self.warmup_from)
        return rate

    def momentum(self, step: int) -> float:
        """β₁ of a step."""
        if self.kind != "one-cycle":
            return self.beta1
        if step < self.warmup_steps:
            return 0.0
        first, last = _BETA1
        return last + (first - last) * _cosine((step + 1) / self.steps)


def _cosine(share: float) -> float:
    """1 at 0, 0 at 1."""
    return 0.5 * (1 + math.cos(math.pi * share))
