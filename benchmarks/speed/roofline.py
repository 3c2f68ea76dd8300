"""What a machine can do at most, measured: operations and bytes per second, and the least time of
some work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pretrain.engine.efficiency import seconds


@dataclass(frozen=True)
class Work:
    """Floating-point operations and bytes to and from memory; works add up piece by piece."""

    flops: float
    bytes: float


@dataclass(frozen=True)
class Ceiling:
    """Measured rates: operations per second of a large matrix product, bytes per second (read +
    written) of a triad.
    """

    flops: float
    bytes: float

    def seconds(self, pieces: list[Work]) -> float:
        """The least time for pieces of work one after another: each takes its operations or its
        bytes, the longer.
        """
        return sum(max(piece.flops / self.flops, piece.bytes / self.bytes) for piece in pieces)


class Probe:
    """Measures a :class:`Ceiling`, as often as asked, on the threads that torch uses.

    Args:
        device: where.
        dtype: of the matrix product; the triad moves bytes, whatever they mean.
        clock: seconds now.
        side: of the square matrices.
        megabytes: of each of the triad's three vectors, far beyond any cache.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        clock: Callable[[], float] = time.perf_counter,
        *,
        side: int = 2048,
        megabytes: int = 256,
    ) -> None:
        self.device, self._clock, large = device, clock, device.type == "cuda"
        self._side = 4 * side if large else side
        self._factors = torch.rand(2, self._side, self._side, device=device).to(dtype).unbind()
        self._product = torch.empty_like(self._factors[0])
        numbers = (4 if large else 1) * megabytes * 2**18
        self._vectors = torch.rand(3, numbers, device=device).unbind()

    def measure(self, tries: int = 3) -> Ceiling:
        """The best of ``tries`` of each."""
        a, b, c = self._vectors
        product = self._best(lambda: torch.mm(*self._factors, out=self._product), tries)
        triad = self._best(lambda: torch.add(b, c, alpha=3.0, out=a), tries)
        return Ceiling(2 * self._side**3 / product, 3 * a.nbytes / triad)

    def _best(self, action: Callable[[], object], tries: int) -> float:
        return min(seconds(action, self.device, self._clock) for _ in range(tries))
