"""The cells of a part's images as points for clustering: standardised, on their first principal
components.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.maps import grid_of, require_grid
from benchmarks.core.memory import available_bytes
from benchmarks.core.place import Moments
from benchmarks.core.vectors import require_finite
from benchmarks.data.pairs import PairSplit
from pretrain.progress import Progress

_MEMORY_SHARE = 0.5  # of what is free: maps kept there are not encoded again


class Maps:
    """The maps of a part's images, batch by batch and as often as one likes.

    Args:
        extractor: what encodes them.
        split: the images.
        size: (H, W) of the input.
        batch_size: images encoded at once.
        progress: called with (phase, images done, images in all).

    Raises:
        ValueError: a size that the stride does not divide, a feature that is not finite (named
            image).
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        split: PairSplit,
        *,
        size: tuple[int, int],
        batch_size: int,
        progress: Progress | None = None,
    ) -> None:
        self._extractor, self._split, self._progress = extractor, split, progress
        self._size, self._batch_size = size, batch_size
        self.grid = grid_of(size, extractor.stride)
        self._kept: list[Tensor] = []

    def batches(self, phase: str) -> Iterator[Tensor]:
        """Yields (b, h·w, D) float32 on the CPU, in order; the same every time."""
        if self._kept:
            yield from self._kept
            return
        kept: list[Tensor] | None = []
        done = 0
        for batch in self._split.batches(self._size, self._batch_size):
            maps = self._extractor.maps(batch.images)
            require_grid(maps.shape[2:], self.grid, self._extractor.stride)
            cells = maps.flatten(2).transpose(1, 2).cpu()
            require_finite(cells.flatten(1), batch.ids, split=self._split, what="features are")
            left = (len(self._split) - done) * cells[0].numel() * cells.element_size()
            if kept is not None and left > _MEMORY_SHARE * available_bytes("cpu"):
                kept = None
            if kept is not None:
                kept.append(cells)
            done += len(cells)
            yield cells
            if self._progress:
                self._progress(phase, done, len(self._split))
        self._kept = kept or []


def principal_cells(maps: Maps, components: int) -> Tensor:
    """Cells of all images, every channel brought to mean 0 and variance 1, on the directions in
    which they vary most.

    Args:
        maps: of the images.
        components: how many directions; at most the channels that there are. 0: the standardised
            channels themselves.

    Returns:
        (images, h·w, components) float32 on the CPU.
    """
    moments: Moments | None = None
    for cells in maps.batches("encode"):
        rows = cells.flatten(0, 1).double()
        moments = moments or Moments(rows.shape[1], 0)
        moments.add(rows, rows[:, :0])
    mean, covariance = moments.features / moments.count, moments.covariance
    deviation = covariance.diagonal().clamp_min(0).sqrt()
    living = deviation > 1e-6 * deviation.max()  # a channel that never changes says nothing
    scale = torch.where(living, deviation, torch.inf)
    basis = torch.eye(len(mean), dtype=torch.float64)
    if components:
        _, vectors = torch.linalg.eigh(covariance / torch.outer(scale, scale))
        basis = vectors.flip(1)[:, :components]
    basis = basis / scale[:, None]
    offset = mean @ basis
    parts = []
    for cells in maps.batches("encode again"):
        parts.append((cells.double() @ basis - offset).float())
    return torch.cat(parts)
