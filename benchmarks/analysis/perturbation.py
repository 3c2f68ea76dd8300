"""Criticality of a module: how far it must move from its start, and how exactly it must be hit.

For places θ^a on a path of the module from its start θ^0 to its final value, all other modules at
their final values, and noise u from N(0, σ²) on each of its numbers

    μ = min over a, σ of ‖θ^a − θ^0‖² / σ², of those with E_u L(θ^a + u) ≤ ε

(Chatterji et al. 2020; Neyshabur et al. 2020). On the direct path θ^a is (1−α) θ^0 + α θ^F, so that
the numerator is α² ‖θ^F − θ^0‖².
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Critical:
    """The least of the quotients.

    Attributes:
        mu: infinite where no place with any noise has a loss of at most ε.
        place: its place on the path, None where there is none.
        sigma: its noise, likewise.
    """

    mu: float
    place: int | None = None
    sigma: float | None = None


def criticality(
    travelled: Sequence[float], sigmas: Sequence[float], fits: Callable[[int, float], bool]
) -> Critical:
    """Searches all places and noises; asks only for those that could still give a smaller quotient,
    which changes nothing in the result.

    Args:
        travelled: ‖θ^a − θ^0‖ at each place.
        sigmas: σ > 0.
        fits: called with a place and σ: whether the expected loss there is at most ε.
    """
    best = Critical(math.inf)
    for place in np.argsort(travelled, kind="stable").tolist():
        for sigma in sorted(sigmas, reverse=True):
            mu = (travelled[place] / sigma) ** 2
            if mu >= best.mu:
                break  # smaller noise only makes it larger
            if fits(place, sigma):
                best = Critical(mu, place, sigma)
                break
    return best


def noise_levels(least: float, count: int) -> np.ndarray:
    """(count,) values of σ from ``least`` to 1, evenly in the logarithm."""
    return np.geomspace(least, 1.0, count)
