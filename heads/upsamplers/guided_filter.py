"""Guided filter: features as local affine functions of colour."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.precision import full_precision, no_autocast
from heads.upsamplers.base import LinearUpsampler
from heads.upsamplers.guidance import pooled


@MODELS.register_module()
class GuidedFilter(LinearUpsampler):
    """Fits features to colours in windows of the low-resolution grid and applies the fits to the
    image.

        a = (Cov(I) + ε)⁻¹ · Cov(I, p),   b = mean(p) − a·mean(I)   over (2r+1)² cells
        q = ā·I + b̄               ā, b̄ averaged over windows, resized bilinearly

    He, Sun and Tang, ECCV 2010, in the fast form (arXiv 1505.00996) with colour guidance. Linear in
    the features p; gives p exactly where p is affine in the colours, ε = 0 and a window sees at
    least four colours not in one plane. Cost: a handful of box filters of 4·C channels on the grid
    and 4·C resizes to the output.

    Args:
        radius: r in cells of the features; windows overlap and are averaged, so the reach is 2r.
        eps: ε in squared units of the normalised image: windows with less variance are averaged,
            not followed.

    Raises:
        ValueError: radius below 1 or eps below 0.
    """

    kind = "guided"

    def __init__(self, radius: int = 1, eps: float = 1e-3) -> None:
        super().__init__(radius=radius, eps=eps)
        if radius < 1 or eps < 0:
            raise ValueError(f"radius={radius} must be at least 1 and eps={eps} not negative")
        self.radius, self.eps = radius, eps

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Colours on the grid (B, 3, h, w), (Cov + ε)⁻¹ (B, 3, 3, h, w) and colours of the output
        (B, 3, H', W'), both without the image's mean colour."""
        image = full_precision(image)
        low = pooled(image, grid)
        middle = low.mean((2, 3), keepdim=True)  # taken off, it changes nothing but the rounding
        low = low - middle
        mean, mean_squares = (
            self._box(low),
            self._box((low[:, :, None] * low[:, None]).flatten(1, 2)),
        )
        covariance = mean_squares.unflatten(1, (3, 3)) - mean[:, :, None] * mean[:, None]
        with no_autocast(image):
            regular = covariance.permute(0, 3, 4, 1, 2) + self.eps * torch.eye(
                3, dtype=image.dtype, device=image.device
            )
            # A pseudo-inverse: at ε = 0 windows of one colour are legal, they average. What is
            # below the rounding of the covariance, a small difference of squares, is no variance.
            rounding = 16 * torch.finfo(image.dtype).eps * mean_squares[:, ::4].sum(1)
            inverse = torch.linalg.pinv(regular, atol=rounding, hermitian=True).permute(
                0, 3, 4, 1, 2
            )
        return low, inverse.contiguous(), pooled(image, output_size) - middle

    def spread(
        self, filters: tuple[Tensor, ...], maps: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """See :class:`LinearUpsampler`."""
        low, inverse, high = filters
        if len(maps) != len(low):
            raise ValueError(
                f"features of {len(maps)} images, but guidance of {len(low)}: give one image each"
            )
        values = full_precision(maps)
        mean, mean_colour = self._box(values), self._box(low)
        covariance = torch.stack(
            [self._box(values * c[:, None]) for c in low.unbind(1)], 1
        )  # (B, 3, K, h, w)
        covariance = covariance - mean_colour[:, :, None] * mean[:, None]
        slopes = (inverse[:, :, :, None] * covariance[:, None]).sum(2)  # (B, 3, K, h, w)
        offset = mean - (slopes * mean_colour[:, :, None]).sum(1)
        out = self._resized(self._box(offset), output_size)
        for slope, colour in zip(slopes.unbind(1), high.unbind(1), strict=True):
            out = out.addcmul(self._resized(self._box(slope), output_size), colour[:, None])
        return out.to(maps.dtype)

    def _box(self, x: Tensor) -> Tensor:
        """Means over windows, of the cells that exist."""
        return F.avg_pool2d(x, 2 * self.radius + 1, 1, self.radius, count_include_pad=False)

    @staticmethod
    def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
        return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
