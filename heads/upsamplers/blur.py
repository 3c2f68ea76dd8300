"""Bilinear upsampling and a Gaussian blur: the control of everything that claims to find edges."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.upsamplers.base import LinearUpsampler


@MODELS.register_module()
class Blur(LinearUpsampler):
    """Interpolates between cell centres and blurs the result; the image is not used.

        y = (K_h·B_h) · F · (K_w·B_w)ᵀ

    per channel, with B the bilinear weights of an axis (align_corners=False) and K a Gaussian over
    the pixels of the output, of σ = ``sigma`` cells, whose rows are divided by their sum: pixels
    outside the output have no weight, constants stay constant. A pixel of the output is a mean of
    the cells with a standard deviation of about √(1/6 + sigma²) cells along each axis. Nothing is
    cut off: the whole axis takes part, as two matrix products of 2·C·W'·h·(w + H') flop.

    Args:
        sigma: σ in cells; half a cell is the control of comparisons of upsamplers.

    Raises:
        ValueError: σ is not positive.
    """

    kind = "blur"

    def __init__(self, sigma: float = 0.5) -> None:
        super().__init__(sigma=sigma)
        if not sigma > 0:
            raise ValueError(f"sigma={sigma}: must be positive, in cells; bilinear blurs nothing")
        self.sigma = sigma

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """See :class:`LinearUpsampler`; nothing depends on the image."""
        return ()

    def spread(
        self, filters: tuple[Tensor, ...], maps: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """See :class:`LinearUpsampler`."""
        options = dict(sigma=self.sigma, device=maps.device, dtype=maps.dtype)
        rows = _placed(maps.shape[2], output_size[0], **options)
        columns = _placed(maps.shape[3], output_size[1], **options)
        return rows @ (maps @ columns.T)


@functools.lru_cache(maxsize=64)
def _placed(
    cells: int, pixels: int, *, sigma: float, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """K·B of one axis, (pixels, cells), where it is needed: on a GPU, a copy at every call would
    wait for it.
    """
    with torch.inference_mode(False):  # what is kept serves training as well, whoever asked first
        identity = torch.eye(cells, dtype=torch.float64)[None]
        weights = F.interpolate(identity, size=pixels, mode="linear", align_corners=False)[0]
        places = torch.arange(pixels, dtype=torch.float64) * (cells / pixels)
        distance = (places[:, None] - places) / sigma  # in σ
        mixed = (distance.square() / -2).softmax(1) @ weights.T
        return mixed.to(device=device, dtype=dtype)
