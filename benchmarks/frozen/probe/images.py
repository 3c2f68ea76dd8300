"""A split as probes see it: features, what an upsampler computes of an image, and labels, by the
images' numbers.

Frozen features never change, nor do the weights of an upsampler: both are computed once and kept
while a budget of bytes lasts, features first; what does not fit is computed anew whenever it is
asked for. Budget and batches change the speed only: what is rounded for keeping (``dtype``) is
rounded, kept or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import Kept
from benchmarks.core.maps import grid_of, require_grid
from benchmarks.data.pairs import LabelledBatch, PairSplit
from benchmarks.frozen.probe.readout import OwnGrid
from pretrain.progress import Progress

UPSAMPLED_BYTES = 1 << 30  # of upsampled features at once, where a read-out cannot be folded


@dataclass
class Piece:
    """A few images, ready for a read-out.

    Attributes:
        features: (B, C, h, w) float32.
        prepared: what :meth:`OwnGrid.prepare` made of them, float32.
        batch: images and masks.
    """

    features: Tensor
    prepared: tuple[Tensor, ...]
    batch: LabelledBatch


class ProbeImages:
    """Images of one split behind one network.

    Args:
        extractor: Anything with ``encode``, ``normalise``, ``device``, ``channels`` and
            ``map_stride``.
        split: The images.
        size: (H, W) they are resized to.
        kept: Where features and prepared tensors are kept.
        dtype: What prepared tensors are rounded to.

    Raises:
        ValueError: the size is not a multiple of the network's stride.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        split: PairSplit,
        size: tuple[int, int],
        *,
        kept: Kept,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.extractor, self.split, self.size = extractor, split, size
        self.kept, self.dtype = kept, dtype
        self.grid = grid_of(size, extractor.map_stride)
        self.device = torch.device(extractor.device)
        # Single images spare the CPU the putting together of what is kept; a GPU wants batches.
        self.piece = 1 if self.device.type == "cpu" else None

    def __len__(self) -> int:
        return len(self.split)

    def statistics(
        self,
        batch_size: int,
        *,
        with_masks: Callable[[Tensor], None] | None = None,
        progress: Progress | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encodes all images once.

        Args:
            batch_size: Images at once.
            with_masks: Called with the masks of each batch.
            progress: Called with ("encode", batches done, batches in all).

        Returns:
            Mean and standard deviation (C,) of the features over all cells, float32; 1 for a
            constant channel.

        Raises:
            ValueError: a feature that is not finite; names the image.
        """
        count, total, squares = 0, *torch.zeros(2, dtype=torch.float64)
        for done, batch in enumerate(self.split.batches(self.size, batch_size), start=1):
            features = self._encode(batch)
            cells = features.cpu().double().transpose(0, 1).flatten(1)  # (C, B·h·w)
            count += cells.shape[1]
            total, squares = total + cells.sum(1), squares + cells.square().sum(1)
            if with_masks:
                with_masks(batch.masks)
            if progress:
                progress("encode", done, self.split.batch_count(batch_size))
        mean = total / count
        std = (squares / count - mean.square()).clamp_min(0).sqrt()
        std = torch.where(std > 1e-6 * std.max().clamp_min(1e-30), std, torch.ones_like(std))
        return mean.float().to(self.device), std.float().to(self.device)

    def masks(self, ids: Sequence[int]) -> Tensor:
        """Label maps (B, H, W) of these images, on the device."""
        return self.split.take(ids, self.size).masks.to(self.device)

    @torch.no_grad()
    def pieces(self, ids: Sequence[int], readout: OwnGrid) -> Iterator[Piece]:
        """Yields these images with their features, prepared for a read-out, a few at a time."""
        step = self.piece or len(ids)
        if not readout.folded:
            height, width = readout.size
            step = min(
                step, max(1, UPSAMPLED_BYTES // (4 * self.extractor.channels * height * width))
            )
        for start in range(0, len(ids), step):
            batch = self.split.take(ids[start : start + step], self.size)
            features = self._features(batch)
            yield Piece(features, self._prepared(batch, features, readout), batch)

    def _features(self, batch: LabelledBatch) -> Tensor:
        held = [self.kept.get(("features", image)) for image in batch.ids]
        if any(h is None for h in held):
            return self._encode(batch)
        return torch.cat([h[0] for h in held]) if len(held) > 1 else held[0][0]

    def _prepared(
        self, batch: LabelledBatch, features: Tensor, readout: OwnGrid
    ) -> tuple[Tensor, ...]:
        held = [self.kept.get(("prepared", image)) for image in batch.ids]
        if any(h is None for h in held):
            prepared = readout.prepare(self.extractor.normalise(batch.images), features)
            prepared = _floats_as(self.dtype, prepared)
            for row, image in enumerate(batch.ids):
                self.kept.put(("prepared", image), tuple(t[row : row + 1] for t in prepared))
        elif len(held) == 1:
            prepared = held[0]
        else:
            prepared = tuple(torch.cat(part) for part in zip(*held, strict=True))
        return _floats_as(torch.float32, prepared)

    def _encode(self, batch: LabelledBatch) -> Tensor:
        features = self.extractor.encode(batch.images)
        require_grid(features.shape[-2:], self.grid, self.extractor.map_stride)
        finite = torch.isfinite(features).flatten(1).all(1)
        if not finite.all():
            name = self.split.name(batch.ids[int((~finite).nonzero()[0])])
            raise ValueError(f"{name}: a feature is not finite; did training diverge?")
        for row, image in enumerate(batch.ids):
            self.kept.put(("features", image), (features[row : row + 1],))
        return features


def _floats_as(dtype: torch.dtype, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Casts what holds floating-point numbers; indices stay."""

    def cast(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    return tuple(map(cast, tensors))
