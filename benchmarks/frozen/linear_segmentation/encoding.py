"""From images to what a head reads, and on to class scores: features are computed once where a view
recurs and memory allows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.frozen.linear_segmentation.head import LinearHead
from benchmarks.frozen.probe.images import Kept, budget_of
from benchmarks.frozen.probe.readout import OwnGrid, Unfolded, read_out


@dataclass(frozen=True)
class Encoded:
    """A batch of views, as a head reads it.

    Attributes:
        features: (B, C, h, w) float32 on the network's own grid.
        prepared: what the read-out computed of images and features, images along the first axis.
        readout: where the head meets the upsampler.
    """

    features: Tensor
    prepared: tuple[Tensor, ...]
    readout: OwnGrid


class Encoder:
    """A frozen network, its upsampler if it has one, and a memory of what they computed.

    Args:
        extractor: anything with ``encode``, ``normalise``, ``device`` and ``task_stride``.
        plain: whether heads are 1×1 convolutions alone: before a linear upsampler instead of
            behind it they give the same scores for less.
        cache_bytes: kept at most.
    """

    def __init__(self, extractor: FeatureExtractor, *, plain: bool, cache_bytes: int) -> None:
        self.extractor, self.plain = extractor, plain
        self.device = torch.device(extractor.device)
        self.kept = Kept(budget_of(cache_bytes, extractor.device))

    @torch.no_grad()
    def encode(self, images: Tensor, keys: Sequence[Hashable | None]) -> Encoded:
        """Encodes views.

        Args:
            images: (B, 3, H, W) uint8, or float in [0, 1].
            keys: of each view, equal for equal pixels; None: it does not recur, so that nothing is
                kept of it.
        """
        readout = self._readout(tuple(images.shape[-2:]))
        held = [None if key is None else self.kept.get(key) for key in keys]
        if all(tensors is not None for tensors in held):
            features, *prepared = (torch.cat(parts) for parts in zip(*held, strict=True))
            return Encoded(features, tuple(prepared), readout)
        features = self.extractor.encode(images)
        prepared = ()
        if self.extractor.upsampler is not None:
            prepared = readout.prepare(self.extractor.normalise(images), features)
        for row, key in enumerate(keys):
            if key is not None:
                rows = tuple(tensor[row : row + 1] for tensor in (features, *prepared))
                self.kept.put(key, rows)
        return Encoded(features, prepared, readout)

    def scores(self, head: LinearHead, encoded: Encoded, kept: Tensor | None = None) -> Tensor:
        """Class scores (B, K, h', w') on the network's grid, or on the upsampler's.

        Args:
            head: of these features.
            encoded: as :meth:`encode` returns it.
            kept: see :meth:`LinearHead.forward`.
        """
        if not self.plain:
            upsampled = encoded.prepared[0] if encoded.prepared else encoded.features
            return head(upsampled, kept)
        classify = head.classify
        weight, bias = encoded.readout.fold(classify.weight[..., 0, 0], classify.bias)
        return encoded.readout.apply(encoded.features, encoded.prepared, weight=weight, bias=bias)

    def _readout(self, size: tuple[int, int]) -> OwnGrid:
        """How images of (H, W) pixels are read out."""
        upsampler, stride = self.extractor.upsampler, self.extractor.task_stride
        if upsampler is None:
            return OwnGrid()
        upsampled = size[0] // stride, size[1] // stride
        return read_out(upsampler, upsampled) if self.plain else Unfolded(upsampler, upsampled)
