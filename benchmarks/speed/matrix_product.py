"""The rate at which torch multiplies matrices of 2,048 x 2,048 x D: the best that a machine gives,
against which searches and clusterings are held.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.speed.measuring import CLOCKS
from pretrain.progress import Progress

COLUMNS = ("GFLOP/s", "matrix product GFLOP/s", "share")  # of :func:`cells`
_SIDE = 2048
_PRODUCTS = 8  # of them in a measurement


def against_product(
    action: Callable[[], object],
    operations: int,
    *,
    dim: int,
    repetitions: int,
    device: str,
    clock: str,
    progress: Progress | None = None,
) -> list[tuple[float, float]]:
    """Measures an action and matrix products in turn.

    Args:
        action: what is measured.
        operations: that it cannot do without.
        dim: D, the length of the products' sums.
        repetitions: of both.
        device: where they run.
        clock: of ``CLOCKS``.
        progress: called after each repetition.

    Returns:
        The operations per second of the action and of the product, once per repetition.
    """
    square = unit_vectors(_SIDE, dim, device=device, seed=2)
    seconds = partial(_seconds, device=device, clock=clock)
    rates = []
    for done in range(repetitions):
        multiplied = seconds(lambda: _multiply(square))
        acted = seconds(action)
        rates.append((operations / acted, 2 * _PRODUCTS * _SIDE**2 * dim / multiplied))
        if progress:
            progress("measure", done + 1, repetitions)
    return rates


def cells(rates: Sequence[tuple[float, float]]) -> list[str]:
    """``COLUMNS`` of a table row: medians, the share that of the repetitions' shares.

    Args:
        rates: of :func:`against_product`.
    """
    share = statistics.median(own / limit for own, limit in rates)
    medians = [statistics.median(column) / 1e9 for column in zip(*rates, strict=True)]
    return [*(f"{rate:.1f}" for rate in medians), f"{share:.2f}"]


def unit_vectors(count: int, dim: int, *, device: str, seed: int) -> Tensor:
    """Returns (count, dim) float32 random unit vectors."""
    generator = torch.Generator(device=device).manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator, device=device), dim=1)


def _multiply(square: Tensor) -> None:
    for _ in range(_PRODUCTS):
        square @ square.T


def _seconds(action: Callable[[], object], *, device: str, clock: str) -> float:
    """What one call takes, the device's work included."""
    start = CLOCKS[clock]()
    action()
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return CLOCKS[clock]() - start
