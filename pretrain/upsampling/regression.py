"""Regression from a smaller image: an upsampler learns to give the features of an image from those
of its reduction.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.upsamplers.base import Upsampler
from pretrain.needs import Needs
from pretrain.upsampling.consistency import Encode


@MODELS.register_module()
class ScaleRegression(nn.Module):
    """Plain squared error between the features of an image and the upsampled ones of the image made
    smaller:

        loss = mean[(upsampler(x, f(reduce(x))) − f(x))²],   at the grid of f(x)

    One reduction per step, uniform in ``scales``, to whole cells of the backbone. The target stands
    behind the upsampler's own LayerNorm where it has one. No labels, no downsampler: made for
    upsamplers that do not depend on the backbone, as NAF (CVPR 2026) is said to be trained.

    Args:
        channels: unused; given by the model.
        stride: pixels per cell of the backbone's map; given by the model.
        scales: (least, most) side of the reduced image as a share of the image's, in (0, 1).
        least: cells that the shorter side of the reduced map has at least.

    Raises:
        ValueError: ``scales`` not ascending in (0, 1), or ``least`` below 1.
    """

    needs = Needs(online=(), images=("global",), views=1)
    downsampler = None
    uncertainty = None

    def __init__(
        self, channels: int, stride: int, *, scales: Sequence[float] = (0.25, 0.5), least: int = 4
    ) -> None:
        del channels
        super().__init__()
        if len(scales) != 2 or not 0 < scales[0] <= scales[1] < 1:
            raise ValueError(
                f"scales={tuple(scales)}: must be (least, most) with 0 < least <= most < 1"
            )
        if least < 1:
            raise ValueError(f"least={least}: must be at least 1 cell")
        self.stride, self.scales, self.least = stride, tuple(scales), least

    def forward(
        self,
        image: Tensor,
        encode: Encode,
        upsampler: Upsampler,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Returns ``loss`` and, as a share of the target's variance, ``unexplained``; 0-d.
        Arguments as in :meth:`pretrain.upsampling.consistency.MultiViewConsistency.forward`."""
        low, high = self.scales
        scale = low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
        grid = [max(self.least, round(side * scale / self.stride)) for side in image.shape[-2:]]
        size = [cells * self.stride for cells in grid]
        small = F.interpolate(
            image, size=size, mode="bilinear", align_corners=False, antialias=True
        )
        target = upsampler.reference(encode(image))
        loss = F.mse_loss(upsampler(image, encode(small), tuple(target.shape[-2:])), target)
        return {"loss": loss, "unexplained": loss.detach() / target.var(dim=(0, 2, 3)).mean()}
