"""What travels from the data set to the objectives: views, their geometry and the batch.

Axis letters here and everywhere: B images, V views, D channels, H W grid, N = H·W, K queue or
memory entries, C classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from pretrain.geometry import translated


@dataclass
class Photometric:
    """Sampled photometric parameters; every field has the leading shape of the views it belongs to,
    ``(...)``.

    One sampled set serves both executors (torch on the model's device, OpenCV in CPU workers). The
    steps apply in the papers' order: colour jitter, greyscale, blur, solarise; normalisation
    follows.

    Attributes:
        brightness: (...) float32, factor, 1 = none.
        contrast: (...) float32, factor, 1 = none.
        saturation: (...) float32, factor, 1 = none.
        hue: (...) float32, turns of the colour circle in [-0.5, 0.5], 0 = none.
        order: (..., 4) int64, the order in which 0 brightness, 1 contrast, 2 saturation and 3 hue
            apply.
        grey: (...) bool.
        blur_sigma: (...) float32, pixels of the view, 0 = none.
        solarise: (...) float32, values at or above this threshold in [0, 1] are inverted; above 1 =
            none.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: Tensor
    grey: Tensor
    blur_sigma: Tensor
    solarise: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Photometric:
        """Returns a copy with ``function`` applied to every field."""
        return Photometric(**{f.name: function(getattr(self, f.name)) for f in fields(self)})

    @staticmethod
    def stack(items: Sequence[Photometric]) -> Photometric:
        """Stacks parameter sets along a new first axis."""
        return Photometric._merged(torch.stack, items)

    @staticmethod
    def cat(items: Sequence[Photometric]) -> Photometric:
        """Concatenates parameter sets along their first axis."""
        return Photometric._merged(torch.cat, items)

    @staticmethod
    def _merged(
        merge: Callable[[list[Tensor]], Tensor], items: Sequence[Photometric]
    ) -> Photometric:
        merged = {}
        for field in fields(Photometric):
            merged[field.name] = merge([getattr(item, field.name) for item in items])
        return Photometric(**merged)


@dataclass
class Views:
    """V views of one kind. A sample, before collation, lacks the axis B.

    Attributes:
        images: (B, V, 3, H, W); uint8 RGB as they leave the workers, float32 normalised as
            objectives see them.
        geometry: (B, V, 2, 3) float64, per view the affine map from its unit square to the source
            image's (see ``pretrain.geometry`` for the convention).
        photometric: parameters still to be applied, fields (B, V); None once they are.
    """

    images: Tensor
    geometry: Tensor
    photometric: Photometric | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Views:
        """Returns a copy with ``function`` applied to every tensor."""
        photometric = None if self.photometric is None else self.photometric.map(function)
        return Views(function(self.images), function(self.geometry), photometric)

    def moved(self, x: float, y: float) -> Views:
        """Returns the same views, said to lie ``x`` further right and ``y`` further down in the
        source's unit square.
        """
        return replace(self, geometry=translated(self.geometry, x, y))


@dataclass
class Batch:
    """One step's input.

    Attributes:
        views: group name -> views; ``global`` holds the two large ones.
        labels: (B,) int64, or None when the source has none.
        ids: (B,) int64, index of each image in its source; on the CPU in training as well.
        skipped: (id, reason) of files that could not be decoded and were replaced by another image;
            the id is that of the image, or of the file where a source's samples share files
            (``pretrain.data.source_image``).
    """

    views: dict[str, Views]
    labels: Tensor | None
    ids: Tensor
    skipped: tuple[tuple[int, str], ...] = ()

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Returns a copy with ``function`` applied to every tensor."""
        labels = None if self.labels is None else function(self.labels)
        views = {name: group.map(function) for name, group in self.views.items()}
        return replace(self, views=views, labels=labels, ids=function(self.ids))

    def to(self, device: torch.device | str) -> Batch:
        """Returns the batch on ``device``; copies from pinned memory do not block."""
        return self.map(lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Returns the batch in page-locked memory (called by torch's DataLoader)."""
        return self.map(Tensor.pin_memory)


def collate(samples: list[Batch]) -> Batch:
    """Stacks samples (batches without the axis B; ``ids`` and ``labels`` 0-d) into one batch.

    Raises:
        ValueError: only some of the samples carry a label.
    """
    labelled = [s.labels is not None for s in samples]
    if any(labelled) and not all(labelled):
        raise ValueError(
            f"labels: {sum(labelled)} of {len(samples)} samples have one; a source labels all "
            "or none"
        )
    views = {}
    for name in samples[0].views:
        group = [sample.views[name] for sample in samples]
        photometric = None
        if group[0].photometric is not None:
            photometric = Photometric.stack([view.photometric for view in group])
        images = torch.stack([view.images for view in group])
        geometry = torch.stack([view.geometry for view in group])
        views[name] = Views(images, geometry, photometric)
    labels = torch.stack([sample.labels for sample in samples]) if all(labelled) else None
    ids = torch.stack([sample.ids for sample in samples])
    skipped = itertools.chain.from_iterable(sample.skipped for sample in samples)
    return Batch(views, labels, ids, tuple(skipped))
