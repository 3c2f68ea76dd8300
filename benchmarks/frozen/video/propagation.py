"""Labels of cells carried from some frames to the next one by the similarity of their features.

With unit features q of a cell of the new frame and c_j of the cells of the context that lie in its
neighbourhood, s_j = q · c_j, and K the cells whose s_j is at least the k-th largest one of all
frames of the context together,

    label = Σ_{j in K} exp(s_j / τ) · label_j / Σ_{j in K} exp(s_j / τ)

(Jabri et al. 2020, arXiv 2006.14613; Caron et al. 2021, arXiv 2104.14294.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.names import check_choice

# Side of the square of cells that are labelled at once. Their neighbourhoods overlap: a small one
# compares little in vain, a large one keeps a GPU busy.
TILE = {"cpu": 8, "cuda": 32}


@dataclass(frozen=True)
class Rule:
    """How labels are carried.

    Attributes:
        neighbours: k. temperature: τ.
        radius: of the neighbourhood, in cells.
        shape: ``square`` for at most so many rows and columns away, ``disc`` for closer than that.
        first_everywhere: compare with every cell of the first frame.
        ties: keep all cells that are as similar as the k-th one; else exactly k of them.

    Raises:
        ValueError: no such shape, or a number that is not above 0.
    """

    neighbours: int
    temperature: float
    radius: int
    shape: str = "square"
    first_everywhere: bool = False
    ties: bool = True

    def __post_init__(self) -> None:
        check_choice("shape", self.shape, ("square", "disc"))
        for name in ("neighbours", "temperature", "radius"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must be greater than 0")

    def near(self, offsets: Tensor) -> Tensor:
        """(…) bool: whether cells ``offsets`` (…, 2) rows and columns away are compared."""
        if self.shape == "square":
            return offsets.abs().amax(-1) <= self.radius
        return offsets.square().sum(-1) < self.radius**2


class Context:
    """Frame 0 of a video and the last n frames before the next one, with soft labels.

    Attributes:
        frames: how many it holds.

    Args:
        features: (D, h, w) unit features of frame 0.
        labels: (C, h, w) of frame 0.
        last: n.
        copies: before there are n frames, copies of frame 0 stand in their places.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, *, last: int, copies: bool = False
    ) -> None:
        # Cells as rows, since tiles of them are cut out.
        self.features = features.new_empty(last + 1, *features.shape[1:], len(features))
        self.labels = labels.new_empty(last + 1, *labels.shape[1:], len(labels))
        self._last, self._next = last, 1
        filled = slice(0, last + 1 if copies else 1)
        self._put(filled, features, labels)
        self.frames = filled.stop

    def add(self, features: Tensor, labels: Tensor) -> None:
        """Takes the next frame, as for frame 0; the oldest one but frame 0 makes room."""
        if self._last:
            place = 1 + (self._next - 1) % self._last
            self._put(slice(place, place + 1), features, labels)
            self._next, self.frames = self._next + 1, max(self.frames, place + 1)

    def _put(self, places: slice, features: Tensor, labels: Tensor) -> None:
        self.features[places], self.labels[places] = features.movedim(0, -1), labels.movedim(0, -1)

    def window(self, frames: slice, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Features (m, D) and labels (m, C) of the cells of a rectangle of some frames, frame by
        frame.

        Args:
            frames: of places in the context: 0 is frame 0.
            rows, columns: of the grid.
        """
        kept = self.features, self.labels
        cells, labels = (each[frames, rows, columns].flatten(0, 2) for each in kept)
        return cells, labels


def carry(query: Tensor, context: Context, rule: Rule) -> Tensor:
    """Labels of the next frame.

    Cost O(cells · frames · neighbourhood · D); at most a tile of cells is compared at a time.

    Args:
        query: (D, h, w) unit features of the next frame.
        context: of the frames before.
        rule: how.

    Returns:
        (C, h, w).
    """
    height, width = query.shape[1:]
    carried = context.labels.new_empty(height, width, context.labels.shape[-1])
    for rows, columns in _tiles((height, width), TILE.get(query.device.type, TILE["cuda"])):
        cells = query[:, rows, columns]
        scores, labels = _compare(cells, context, rule, corner=(rows.start, columns.start))
        weights = _weights(scores, rule)
        carried[rows, columns] = (weights @ labels).view(*cells.shape[1:], -1)
    return carried.movedim(-1, 0)


def _tiles(grid: tuple[int, int], side: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of squares that cover a grid."""
    for top in range(0, grid[0], side):
        for left in range(0, grid[1], side):
            yield slice(top, min(top + side, grid[0])), slice(left, min(left + side, grid[1]))


def _compare(
    cells: Tensor, context: Context, rule: Rule, *, corner: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Compares a tile of cells with what lies near them in the context.

    Args:
        cells: (D, a, b) of the new frame. corner: row and column of the first one.
        context, rule: as for :func:`carry`.

    Returns:
        Similarities (a·b, m), -inf outside the neighbourhood, and the labels (m, C).
    """
    grid, sides = context.features.shape[1:3], cells.shape[1:]
    reach = int(rule.radius)
    window = []
    for start, side, end in zip(corner, sides, grid, strict=True):
        window.append(slice(max(start - reach, 0), min(start + side + reach, end)))
    queries = cells.flatten(1).T
    first = 1 if rule.first_everywhere else 0
    keys, labels = context.window(slice(first, context.frames), *window)
    near = rule.near(_offsets(corner, sides, window).to(queries.device))  # (a·b, cells of window)
    frames = context.frames - first
    scores = (queries @ keys.T).masked_fill(~near.repeat(1, frames), -torch.inf)
    if not rule.first_everywhere:
        return scores, labels
    keys, first_labels = context.window(slice(0, 1), slice(None), slice(None))
    return torch.cat([queries @ keys.T, scores], 1), torch.cat([first_labels, labels])


def _offsets(corner: tuple[int, int], sides: tuple[int, int], window: list[slice]) -> Tensor:
    """(a·b, m, 2) rows and columns from each cell of a tile to each cell of a window."""
    steps = []
    for start, side, seen in zip(corner, sides, window, strict=True):
        own = torch.arange(start, start + side)
        steps.append(torch.arange(seen.start, seen.stop) - own[:, None])
    rows, columns = steps[0][:, None, :, None], steps[1][None, :, None, :]
    rows, columns = torch.broadcast_tensors(rows, columns)  # (a, b, window rows, columns)
    return torch.stack([rows, columns], -1).flatten(2, 3).flatten(0, 1)


def _weights(scores: Tensor, rule: Rule) -> Tensor:
    """(q, m) weights that sum to 1 of similarities (q, m): of the k largest."""
    best = scores.topk(min(rule.neighbours, scores.shape[1]), dim=1)
    if rule.ties:
        left_out = scores < best.values[:, -1:]
    else:
        left_out = torch.ones_like(scores, dtype=torch.bool).scatter_(1, best.indices, False)
    return (scores.masked_fill(left_out, -torch.inf) / rule.temperature).softmax(1)


def to_mask(labels: Tensor, size: tuple[int, int], *, stretch: bool) -> Tensor:
    """Labels of cells as one of pixels: bilinear, then the largest.

    Args:
        labels: (C, h, w), channel 0 of the background.
        size: (H, W) of the network's input.
        stretch: bring each channel to 0 … 1 first, unless it is the same everywhere or nowhere
            above 0.

    Returns:
        (H, W) int64, the first among equals.
    """
    pixels = F.interpolate(labels[None], size=size, mode="bilinear", align_corners=False)[0]
    return (stretched(pixels) if stretch else pixels).argmax(0)


def stretched(labels: Tensor) -> Tensor:
    """Channels (C, H, W) from their least to their largest value, as 0 … 1; one that is nowhere
    above 0, or the same everywhere, stays as it is.
    """
    flat = labels.flatten(1)
    least, largest = flat.amin(1)[:, None, None], flat.amax(1)[:, None, None]
    changes = (largest > 0) & (largest > least)
    return torch.where(changes, (labels - least) / (largest - least).clamp_min(1e-30), labels)
