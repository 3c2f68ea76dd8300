"""Which cells of a view are hidden from the trained network: rectangles, single cells, all but one
rectangle.

Numbers come from torch's global CPU generator, one draw a batch: it differs between processes, and
its state is in every checkpoint, so a resumed run hides what the uninterrupted one would.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pretrain.ranges import check_share

TRIES = 10  # of a rectangle before a mask is left as it is
ASPECT = 0.3  # sides of a rectangle differ by at most a factor 1 / ASPECT

Grid = tuple[int, int]


def block_mask(
    grid: Grid, count: int, rng: np.random.Generator, *, smallest: int = 4
) -> np.ndarray:
    """Returns a mask of rectangles that hide up to ``count`` cells, never more; (h, w) bool.

    Rectangle after rectangle, each of area U(smallest, min(cells left, half the grid)) and log
    aspect U(log 0.3, −log 0.3), smaller than the grid in both directions, placed uniformly, taken
    if it hides a cell that was visible and not too many of them; ten failures in a row end the mask
    (DINOv2's code).

    Args:
        grid: (h, w). count: cells to hide. rng: source of randomness.
        smallest: least area that is drawn. iBOT's code takes ⌊min(h, w) / 3⌋².
    """
    mask = np.zeros(grid, dtype=bool)
    while (left := count - int(mask.sum())) > 0:
        largest = min(left, mask.size / 2)
        if not any(_hide_rectangle(mask, left, largest, rng, smallest) for _ in range(TRIES)):
            break
    return mask


def _hide_rectangle(
    mask: np.ndarray, left: int, largest: float, rng: np.random.Generator, smallest: int
) -> bool:
    """Tries one rectangle of at most ``left`` new cells; tells whether it was taken."""
    share, slant, place_top, place_left = rng.random(4)
    height, width = _sides(smallest + (largest - smallest) * share, slant)
    if height >= mask.shape[0] or width >= mask.shape[1]:
        return False
    top = int(place_top * (mask.shape[0] - height + 1))
    start = int(place_left * (mask.shape[1] - width + 1))
    part = mask[top : top + height, start : start + width]
    new = part.size - int(part.sum())
    if not 0 < new <= left:
        return False
    part[:] = True
    return True


def _sides(area: float, slant: float) -> Grid:
    """Height and width of a rectangle; ``slant`` in [0, 1] decides its aspect."""
    aspect = math.exp(math.log(ASPECT) * (1 - 2 * slant))
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def random_mask(grid: Grid, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a mask of exactly ``count`` single cells, each choice equally likely; (h, w) bool."""
    mask = np.zeros(math.prod(grid), dtype=bool)
    mask[rng.permutation(mask.size)[:count]] = True
    return mask.reshape(grid)


def inverse_block_mask(grid: Grid, count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns a mask of all cells but about one rectangle of those that stay visible; (h, w) bool.

    The rectangle is rolled cyclically in both directions, so that the centre is not visible more
    often than the edge (Franca's CyclicMask). Its sides are whole, so its area is near n − count
    and at least 1.
    """
    slant, *shifts = rng.random(3)
    height, width = _sides(max(1, math.prod(grid) - count), slant)
    height, width = min(max(height, 1), grid[0]), min(max(width, 1), grid[1])
    mask = np.ones(grid, dtype=bool)
    mask[:height, :width] = False
    return np.roll(mask, (int(shifts[0] * grid[0]), int(shifts[1] * grid[1])), (0, 1))


_SHAPES: dict[str, Callable[..., np.ndarray]] = {
    "block": block_mask,
    "random": random_mask,
    "inverse": inverse_block_mask,
}


@dataclass(frozen=True, kw_only=True)
class Masking:
    """How the cells of a batch are hidden.

    Attributes:
        shape: ``block`` = rectangles (:func:`block_mask`), ``random`` = single cells
            (:func:`random_mask`), ``inverse`` = all but a rectangle (:func:`inverse_block_mask`).
        share: of the views that get a mask.
        ratio: (low, high) of a mask's share of the cells.
        spread: ``batch`` masks exactly the share of the batch's views and draws their ratios from
            as many equal bins of ``ratio``, shuffled over the views (DINOv2); ``view`` lets each
            view have a mask with probability ``share`` and a ratio from U(ratio), for itself
            (iBOT).
        smallest: least area of a rectangle in cells; only for ``block``.
    """

    shape: Literal["block", "random", "inverse"] = "block"
    share: float = 0.5
    ratio: tuple[float, float] = (0.1, 0.5)
    spread: Literal["batch", "view"] = "batch"
    smallest: int = 4

    def __post_init__(self) -> None:
        check_share(**{"masking.share": self.share})
        low, high = self.ratio
        if not 0 <= low <= high <= 1:
            raise ValueError(f"masking.ratio={self.ratio}: must hold 0 <= low <= high <= 1")
        if self.smallest < 1:
            raise ValueError(f"masking.smallest={self.smallest}: must be at least 1 cell")

    def draw(self, images: int, views: int, *, grid: Grid) -> Tensor:
        """Draws the masks of a batch: (images, views, h, w) bool on the CPU, True = hidden."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        cells = math.prod(grid)
        masks = np.zeros((images * views, *grid), dtype=bool)
        options = dict(smallest=self.smallest) if self.shape == "block" else {}
        for place, ratio in enumerate(self._ratios(len(masks), rng)):
            count = math.floor(cells * ratio)
            if count:
                masks[place] = _SHAPES[self.shape](grid, count, rng, **options)
        return torch.from_numpy(masks).unflatten(0, (images, views))

    def _ratios(self, views: int, rng: np.random.Generator) -> np.ndarray:
        """Each view's share of cells to hide, 0 for no mask."""
        low, high = self.ratio
        if self.spread == "view":
            masked, ratios = rng.random((2, views))
            return np.where(masked < self.share, low + (high - low) * ratios, 0)
        count = math.floor(views * self.share)
        bins = (np.arange(count) + rng.random(count)) / max(1, count)
        ratios = np.concatenate([low + (high - low) * bins, np.zeros(views - count)])
        return rng.permutation(ratios)
