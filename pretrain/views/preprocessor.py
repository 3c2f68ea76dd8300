"""From the uint8 views of the workers to what networks see: device, photometrics, normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from pretrain.structures import Batch, Views
from pretrain.views.photometric_torch import apply_torch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@MODELS.register_module()
class ViewPreprocessor(BaseDataPreprocessor):
    """Moves a batch to the model's device, applies what is left of the photometrics, and
    normalises.

    Args:
        mean: of each channel, image in [0, 1]; ImageNet's by default.
        std: of each channel, likewise.
        channels_last: give each view ``(B, 3, H, W)`` channels-last memory, which convolutional
            networks prefer.
        non_blocking: copy to the device without waiting (effective from pinned memory).

    Raises:
        ValueError: ``mean`` or ``std`` does not have three numbers, or a std is not positive.
    """

    def __init__(
        self,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        *,
        channels_last: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking=non_blocking)
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise ValueError(
                    f"{name}={values!r}: must have three numbers, one per channel (R, G, B)"
                )
        if not all(0 < s <= 1 for s in std) or not all(m <= 1 for m in mean):
            raise ValueError(
                f"mean={tuple(mean)}, std={tuple(std)}: in units of images in [0, 1], std above "
                "0; divide values for 0 … 255 by 255"
            )
        self.channels_last = channels_last
        # In no checkpoint: the normalisation is written to its metadata, and weights keep loading
        # if it changes.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    @property
    def normalisation(self) -> dict[str, list[float]]:
        """``mean`` and ``std`` as plain lists, for checkpoints and extractors."""
        return {"mean": self.mean.flatten().tolist(), "std": self.std.flatten().tolist()}

    def forward(self, batch: Batch, training: bool = False) -> dict[str, Batch]:
        """Prepares a batch for the model.

        Args:
            batch: views uint8, or float in [0, 1], not normalised: normalising twice cannot be
                detected.
            training: unused, photometrics follow from the batch; part of mmengine's interface.

        Returns:
            ``{"batch": Batch}`` on the device; views float32 normalised, their ``photometric``
            None. ``ids`` stay on the CPU, where reading them waits for nothing.
        """
        views = {name: self._prepare(group) for name, group in batch.views.items()}
        labels = None if batch.labels is None else self._move(batch.labels)
        return {"batch": replace(batch, views=views, labels=labels)}

    def _move(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.mean.device, non_blocking=self._non_blocking)

    def _prepare(self, views: Views) -> Views:
        """Processes one group; memory is view-major: ``images[:, v]`` is a contiguous batch."""
        count, per_image = views.images.shape[:2]
        flat = self._move(views.images).transpose(0, 1).flatten(0, 1)  # (V·B, 3, H, W)
        if views.photometric is not None:
            images = apply_torch(flat, views.photometric.map(_view_major))
        elif flat.dtype == torch.uint8:
            images = flat.float().div_(255.0)
        else:
            images = flat.to(torch.float32, copy=True)
        images.sub_(self.mean).div_(self.std)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        images = images.unflatten(0, (per_image, count)).transpose(0, 1)  # (B, V, 3, H, W)
        return Views(images, self._move(views.geometry), None)


def _view_major(field: Tensor) -> Tensor:
    """(B, V, …) -> (V·B, …)."""
    return field.transpose(0, 1).flatten(0, 1)
