"""From images to what a head reads, and on to class scores: features are computed once where a view
recurs and memory allows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.features import Cells
from benchmarks.core.kept import Kept, budget_of
from benchmarks.frozen.linear_segmentation.head import LinearHead
from benchmarks.frozen.linear_segmentation.settings import Settings
from benchmarks.frozen.linear_segmentation.sliding import Window, resize
from benchmarks.frozen.probe.readout import OwnGrid, Unfolded, read_out


@dataclass(frozen=True)
class Encoded:
    """A batch of views, as a head reads it.

    Attributes:
        features: (B, C, h, w) float32 on the network's own grid.
        prepared: what the read-out computed of images and features, images along the first axis.
        readout: where the head meets the upsampler.
        cells: where the cells lie on images that the network pads; None for others.
    """

    features: Tensor
    prepared: tuple[Tensor, ...]
    readout: OwnGrid
    cells: Cells | None


class Encoder:
    """A frozen network, its upsampler if it has one, and a memory of what they computed.

    Args:
        extractor: anything with ``encode``, ``normalise``, ``device`` and ``task_stride``.
        plain: whether heads are 1×1 convolutions alone: before a linear upsampler instead of
            behind it they give the same scores for less.
        settings: how scores of padded images are placed, and how much is kept.
    """

    def __init__(self, extractor: FeatureExtractor, *, plain: bool, settings: Settings) -> None:
        self.extractor, self.plain = extractor, plain
        self.device = torch.device(extractor.device)
        self._cut = settings.padded == "cut"
        self._kept = Kept(budget_of(settings.cache_bytes, extractor.device))

    @torch.no_grad()
    def encode(self, images: Tensor, keys: Sequence[Hashable | None], *, recurs: bool) -> Encoded:
        """Encodes views.

        Args:
            images: (B, 3, H, W) uint8, or float in [0, 1].
            keys: of each view, equal for equal pixels; None: it does not recur in this run, so
                that nothing is kept of it.
            recurs: whether other runs on this network may ask for the same views.
        """
        size = tuple(images.shape[-2:])
        readout, cells = self._readout(size), self._padding(size)
        held = [None if key is None else self._kept.get(key) for key in keys]
        if all(tensors is not None for tensors in held):
            features, *rest = (torch.cat(parts) for parts in zip(*held, strict=True))
            prepared = tuple(rest)
        else:
            features = self.extractor.encode(images, recurs=recurs)
            prepared = self._prepared(images, features, readout) if readout.folded else ()
            self._keep(keys, (features, *prepared))
        if not readout.folded:  # upsampled features are large, and computed anew
            prepared = self._prepared(images, features, readout)
        return Encoded(features, prepared, readout, cells)

    def _prepared(self, images: Tensor, features: Tensor, readout: OwnGrid) -> tuple[Tensor, ...]:
        """What a read-out computes of images and their features."""
        if self.extractor.upsampler is None:
            return ()
        return readout.prepare(self.extractor.normalise(images), features)

    def _keep(self, keys: Sequence[Hashable | None], tensors: tuple[Tensor, ...]) -> None:
        """Keeps the rows of views that recur."""
        for row, key in enumerate(keys):
            if key is not None:
                self._kept.put(key, tuple(tensor[row : row + 1] for tensor in tensors))

    def scores(self, head: LinearHead, encoded: Encoded, kept: Tensor | None = None) -> Tensor:
        """Class scores (B, K, h', w') that cover the images evenly: on the network's grid, or on
        the upsampler's.

        Args:
            head: of these features.
            encoded: as :meth:`encode` returns it.
            kept: see :meth:`LinearHead.forward`.
        """
        if self.plain:
            weight, bias = head.classify.weight[..., 0, 0], head.classify.bias
            weight, bias = encoded.readout.fold(weight, bias)
            scores = encoded.readout.apply(
                encoded.features, encoded.prepared, weight=weight, bias=bias
            )
        else:
            upsampled = encoded.prepared[0] if encoded.prepared else encoded.features
            scores = head(upsampled, kept)
        if encoded.cells is None or not self._cut:
            return scores
        cells = encoded.cells
        return Window(*cells.before, *cells.image).of(resize(scores, cells.padded))

    def _padding(self, size: tuple[int, int]) -> Cells | None:
        """Where cells lie on images of (H, W) pixels, if the network pads these.

        Raises:
            ValueError: there is an upsampler, which would place padded features wrongly.
        """
        if getattr(self.extractor, "feature_settings", None) is None:
            return None
        cells = self.extractor.cells(size)
        if cells.padded == cells.image:
            return None
        if self.extractor.upsampler is not None:
            raise ValueError(
                f"views of {size[0]} × {size[1]} pixels are padded to {cells.padded[0]} × "
                f"{cells.padded[1]}: an upsampler would place their features wrongly; choose a "
                "size of whole patches"
            )
        return cells

    def _readout(self, size: tuple[int, int]) -> OwnGrid:
        """How images of (H, W) pixels are read out."""
        upsampler, stride = self.extractor.upsampler, self.extractor.task_stride
        if upsampler is None:
            return OwnGrid()
        upsampled = size[0] // stride, size[1] // stride
        return read_out(upsampler, upsampled) if self.plain else Unfolded(upsampler, upsampled)
