"""Firing scores: how much of a set of images does a unit fire on, once it fires on one of them?

A set shows one object while one thing changes. With features h (N, D), rates in [0, 1] and C
classes of sets, after Goodfellow et al. (2009) as Purushwalkam and Gupta (arXiv 2007.13916) use it:

    g        = max(1 / C, 0.05)                          rate at which every unit shall fire
    t⁺, t⁻   = the place int(N (1 - g)) of h, sorted up and sorted down; per unit
    G_d      = share of all images on which unit d fires, ≈ g
    r        = share of a set's images on which it fires, of sets with three images or more
    L_{c,d}  = mean of r over the sets of class c with r > 0
    score    = 100 g · mean over classes of the mean of the K largest L_{c,d} / G_d

A unit that fires on whole sets or not at all gives 100. Zero invariance does not give 0: the K
largest of many units are large by chance, which is what a score with permuted sets measures.

Rules, where the published code and the idea differ:

- ``official``, as in the published code: fires⁺ is h > t⁺, fires⁻ is h < t⁻, r is the larger of
  both, so that the sign changes from set to set; G counts h ≥ t⁺ only; a class without any set of
  three images scores 0.
- ``strict``: fires is ≥ and ≤ everywhere; each unit has one sign, the one of the larger mean of
  L / G over classes; signs with |G - g| > g / 2 (a unit that is constant on most images) are left
  out, and so are classes without any set of three images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.statistics import CONFIDENCE
from pretrain.names import check_choice

RULES = ("official", "strict")
LEAST_RATE = 0.05  # g where there are many classes
LEAST_IMAGES = 3  # of a set that counts
_BLOCK = 256  # units looked at together


@dataclass(frozen=True)
class Sets:
    """Which images belong together.

    Attributes:
        of_image: (N,) int64, the number of each image's set, 0 to S - 1.
        label: (S,) int64, the class of each set, 0 to C - 1.

    Raises:
        ValueError: no set has three images.
    """

    of_image: Tensor
    label: Tensor

    def __post_init__(self) -> None:
        if int(self.sizes.max()) < LEAST_IMAGES:
            raise ValueError(
                f"the largest of {len(self.label)} sets has {int(self.sizes.max())} images; firing "
                f"rates need sets of at least {LEAST_IMAGES}"
            )

    @property
    def classes(self) -> int:
        """C."""
        return int(self.label.max()) + 1

    @property
    def rate(self) -> float:
        """g."""
        return max(1 / self.classes, LEAST_RATE)

    @property
    def sizes(self) -> Tensor:
        """(S,) int64 numbers of images."""
        return torch.bincount(self.of_image, minlength=len(self.label))

    def permuted(self, generator: torch.Generator) -> Sets:
        """Sets of the same sizes and classes, filled with images drawn blindly."""
        order = torch.randperm(len(self.of_image), generator=generator)
        return Sets(self.of_image[order], self.label)


@dataclass(frozen=True)
class Thresholds:
    """Where units begin to fire.

    Attributes:
        high: (D,) t⁺.
        low: (D,) t⁻.
        rate: g.
    """

    high: Tensor
    low: Tensor
    rate: float

    @classmethod
    def of(cls, features: Tensor, rate: float) -> Thresholds:
        """Those of features (N, D) for the rate g, in (0, 1]."""
        count = len(features)
        # The product may lie an ulp below a whole number: 9 · (1 - 1/3).
        place = min(int(count * (1 - rate) + 1e-9), count - 1)
        high, low = [], []
        for block in _blocks(features):
            rows = block.T.contiguous()  # twice as fast as selecting along columns
            high.append(rows.kthvalue(place + 1).values)
            low.append(rows.kthvalue(count - place).values)
        return cls(torch.cat(high), torch.cat(low), rate)


@dataclass(frozen=True)
class Firing:
    """How units fire on all images and on sets; D' units count under the rule.

    Attributes:
        rates: (D',) float64, G.
        local: (C, D') float64, L; NaN in the rows of classes that are left out.
        target: g.
    """

    rates: Tensor
    local: Tensor
    target: float

    def class_scores(self, k: int) -> Tensor:
        """(C,) float64 scores in percent; NaN for a class that is left out.

        Args:
            k: units per class, the largest ones.

        Raises:
            ValueError: fewer units than ``k`` count.
        """
        units = len(self.rates)
        if units < k:
            raise ValueError(
                f"k={k}: a score is the mean of the {k} best units, but only {units} count; use a "
                "network with more units, or rule='official' if the rule 'strict' left units out"
            )
        return 100 * self.target * (self.local / self.rates).topk(k, dim=1).values.mean(1)


def fire(features: Tensor, sets: Sets, thresholds: Thresholds, *, rule: str = "official") -> Firing:
    """Measures firing rates. Cost O(N · D).

    Args:
        features: (N, D) float, before any head.
        sets: which images belong together.
        thresholds: of these features, for ``sets.rate``.
        rule: see above.

    Raises:
        ValueError: an unknown rule.
    """
    check_choice("rule", rule, RULES)
    measure = _official if rule == "official" else _strict
    blocks = zip(_blocks(features), _blocks(thresholds.high), _blocks(thresholds.low), strict=True)
    parts = [measure(block, sets, Thresholds(*both, thresholds.rate)) for block, *both in blocks]
    rates, local = zip(*parts, strict=True)
    return Firing(torch.cat(rates), torch.cat(local, 1), thresholds.rate)


def bootstrap_over_classes(
    scores: np.ndarray, *, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """The 95 % interval that drawing other classes would give the mean score.

    Features, thresholds and sets stay as they are.

    Args:
        scores: (C,) of the classes, in any unit; NaN: left out.
        resamples: draws of as many classes as there are, with replacement.
        seed: of the draws.

    Returns:
        Lower and upper end; both the score itself where there is a single class.
    """
    known = np.asarray(scores, np.float64)[np.isfinite(scores)]
    drawn = np.random.default_rng(seed).integers(len(known), size=(resamples, len(known)))
    means = known[drawn].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _blocks(columns: Tensor) -> tuple[Tensor, ...]:
    """Values of a few units at a time (…, D), so that temporary copies stay small."""
    return columns.split(_BLOCK, dim=-1)


def _official(features: Tensor, sets: Sets, at: Thresholds) -> tuple[Tensor, Tensor]:
    """G and L of a block of units."""
    rates = (features >= at.high).double().mean(0)
    above, below = _set_rates(features > at.high, sets), _set_rates(features < at.low, sets)
    local = _class_means(torch.maximum(above, below), sets)
    return rates, local.nan_to_num(0.0)


def _strict(features: Tensor, sets: Sets, at: Thresholds) -> tuple[Tensor, Tensor]:
    """G and L of a block of units, of those that count."""
    rates, local, strengths = [], [], []
    for fires in (features >= at.high, features <= at.low):
        rate = fires.double().mean(0)
        own = _class_means(_set_rates(fires, sets), sets)
        strength = (own / rate).nanmean(0)
        strength[(rate - at.rate).abs() > at.rate / 2] = -1  # less than any
        rates.append(rate)
        local.append(own)
        strengths.append(strength)
    counts = torch.maximum(*strengths) >= 0
    negative = strengths[1] > strengths[0]
    chosen_rates = torch.where(negative, rates[1], rates[0])
    chosen_local = torch.where(negative, local[1], local[0])
    return chosen_rates[counts], chosen_local[:, counts]


def _set_rates(fires: Tensor, sets: Sets) -> Tensor:
    """(S, D) float64 share of each set's images on which a unit fires, of fires (N, D) bool."""
    counts = fires.new_zeros(len(sets.label), fires.shape[1], dtype=torch.float32)
    counts.index_add_(0, sets.of_image, fires.float())  # exact: counts stay far below 2^24
    return counts.double() / sets.sizes.clamp_min(1)[:, None]


def _class_means(rates: Tensor, sets: Sets) -> Tensor:
    """(C, D) float64 mean of the rates (S, D) over the sets of a class that have
    ``LEAST_IMAGES`` images and fire; 0 where none of these fires, NaN for a class without any.
    """
    large = sets.sizes >= LEAST_IMAGES
    rates, label = rates[large], sets.label[large]
    sums = rates.new_zeros(sets.classes, rates.shape[1]).index_add_(0, label, rates)
    firing = torch.zeros_like(sums).index_add_(0, label, (rates > 0).double())
    means = sums / firing.clamp_min(1)
    means[torch.bincount(label, minlength=sets.classes) == 0] = torch.nan
    return means
