"""The straight line between two sets of weights: barriers on it, and the basin around it.

Pure functions of state dicts, shares λ and losses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

State = Mapping[str, Tensor]


def interpolate(first: State, second: State, share: float) -> dict[str, Tensor]:
    """Returns (1 − λ) · first + λ · second; a ``share`` λ outside [0, 1] extrapolates.

    Whole numbers, such as BatchNorm's counter of batches, have no meaning between: they are those
    of ``first``.
    """
    between = {}
    for name, value in first.items():
        if value.is_floating_point():
            between[name] = (1 - share) * value + share * second[name]
        else:
            between[name] = value
    return between


def distance(first: State, second: State, names: Iterable[str]) -> float:
    """‖first − second‖ over the named entries, in float64."""
    squares = [(first[name].double() - second[name].double()).square().sum() for name in names]
    return float(torch.stack(squares).sum().sqrt())


def with_noise(
    state: State, names: Sequence[str], *, length: float, seed: int
) -> dict[str, Tensor]:
    """Returns the weights plus Gaussian noise N(0, length²/n · I) on the n named numbers, of about
    that length therefore.

    Args:
        state: the weights.
        names: of the tensors that get noise.
        length: δ.
        seed: of the draw, which does not depend on the length.
    """
    generator = torch.Generator().manual_seed(seed)
    count = sum(state[name].numel() for name in names)
    noisy = dict(state)
    for name in names:
        noise = torch.randn(state[name].shape, generator=generator).to(state[name])
        noisy[name] = state[name] + length / count**0.5 * noise
    return noisy


def barrier(shares: Sequence[float], losses: Sequence[float]) -> float:
    """B = max_λ [ℓ(θ_λ) − (1−λ) ℓ(θ_0) − λ ℓ(θ_1)]; never below 0, its value at both ends.

    Args:
        shares: λ from 0 to 1.
        losses: ℓ at each.

    Raises:
        ValueError: shares that do not run from 0 to 1, or of another number than losses.
    """
    return float(np.max(rises(shares, losses)))


def rises(shares: Sequence[float], losses: Sequence[float]) -> np.ndarray:
    """(n,): how far each loss lies above the line between both ends; see :func:`barrier`."""
    if len(shares) != len(losses) or len(shares) < 2 or (shares[0], shares[-1]) != (0, 1):
        raise ValueError(
            f"{len(shares)} shares and {len(losses)} losses: a barrier needs a loss at every "
            "share, the first share 0 and the last 1"
        )
    share, loss = np.asarray(shares, np.float64), np.asarray(losses, np.float64)
    return loss - (1 - share) * loss[0] - share * loss[-1]


@dataclass(frozen=True)
class Basin:
    """What of an (ε, δ)-basin holds of a segment (Neyshabur et al. 2020, definition 3.1).

    Attributes:
        epsilon: mean of |ℓ − μ| over the segment, μ the mean loss on it.
        noise_rise: mean loss of both ends with noise of length δ, above μ.
        outside_rise: mean loss beyond both ends by |N(0, δ²)|, above μ.
    """

    epsilon: float
    noise_rise: float
    outside_rise: float

    @property
    def holds(self) -> bool:
        """Whether the loss rises by 2 ε at least wherever one leaves the segment."""
        return min(self.noise_rise, self.outside_rise) >= 2 * self.epsilon


def basin(losses: Sequence[float], noisy: Sequence[float], outside: Sequence[float]) -> Basin:
    """Judges a segment.

    Args:
        losses: at equally spaced points of the segment.
        noisy: at its ends with noise of length δ.
        outside: at points beyond its ends, |N(0, δ²)| from them.
    """
    loss = np.asarray(losses, np.float64)
    epsilon = float(np.abs(loss - loss.mean()).mean())
    return Basin(
        epsilon, float(np.mean(noisy) - loss.mean()), float(np.mean(outside) - loss.mean())
    )
