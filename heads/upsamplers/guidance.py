"""The image at the size a guided upsampler needs it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def pooled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Averages an image (B, 3, H, W) over the cells of a grid ``size``: adaptive average pooling,
    (B, 3, H', W').

    Cells finer than the image's pixels average the one or two pixels that they touch.
    """
    height, width = image.shape[-2:]
    if (height, width) == tuple(size):
        return image
    if (
        height % size[0] == 0 and width % size[1] == 0
    ):  # the same numbers, but a pooling that exporters know
        return F.avg_pool2d(image, (height // size[0], width // size[1]))
    return F.adaptive_avg_pool2d(image, size)
