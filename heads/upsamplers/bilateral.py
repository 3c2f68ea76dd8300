"""Classical joint bilateral upsampling: fixed Gaussians of distance and colour, nothing learned."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from heads.precision import full_precision
from heads.upsamplers.base import LinearUpsampler
from heads.upsamplers.guidance import pooled
from heads.upsamplers.operators import adaptive_conv


@MODELS.register_module()
class JointBilateral(LinearUpsampler):
    """Averages the cells around a pixel, the near ones and those of its colour most (Kopf et al.,
    SIGGRAPH 2007).

        y(p) = Σ_q w_q · F(q) / Σ_q w_q
        w_q  = exp(−‖p↓ − q‖² / 2σ_s²) · exp(−‖G(p) − G↓(q)‖² / 2σ_r²)

    over the (2r+1)² cells q around the cell of p that exist; p↓ is the pixel's place on the grid, G
    the image, G↓ its average over a cell. The output is reached with the integer factor ⌈output /
    grid⌉, then resized bilinearly if it is of another size. Cost 2·C·(2r+1)² flop per pixel.

    Args:
        radius: r in cells.
        sigma_space: σ_s in cells.
        sigma_range: σ_r in units of the normalised image, over the three colours together.

    Raises:
        ValueError: radius below 1, a σ that is not positive.
    """

    kind = "bilateral"

    def __init__(self, radius: int = 2, sigma_space: float = 0.5, sigma_range: float = 1.0) -> None:
        super().__init__(radius=radius, sigma_space=sigma_space, sigma_range=sigma_range)
        if radius < 1 or sigma_space <= 0 or sigma_range <= 0:
            raise ValueError(
                f"radius={radius} must be at least 1, sigma_space={sigma_space} and "
                f"sigma_range={sigma_range} positive"
            )
        self.radius, self.sigma_space, self.sigma_range = radius, sigma_space, sigma_range

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Filters (B, f·h, f·w, K, K) with K = 2r+1, at least float32, that sum to 1; for
        ``adaptive_conv``.
        """
        factor = max(-(-out // side) for out, side in zip(output_size, grid, strict=True))
        image = full_precision(image)
        high, low = pooled(image, (grid[0] * factor, grid[1] * factor)), pooled(image, grid)
        cells = high.unflatten(3, (-1, factor)).unflatten(2, (-1, factor))  # (B, 3, h, f, w, f)
        size = 2 * self.radius + 1
        around = F.pad(low, (self.radius,) * 4)
        distance = self._distance(grid[0], factor, low)[:, :, None, None, :, None]
        distance = distance + self._distance(grid[1], factor, low)[:, :, None, :]
        logits = distance.new_empty(len(image), *cells.shape[2:], size, size)
        for i in range(size):
            for j in range(size):
                colour = around[:, :, i : i + grid[0], None, j : j + grid[1], None]
                logits[..., i, j] = (cells - colour).square().sum(1) / (-2 * self.sigma_range**2)
        logits = logits - distance / (2 * self.sigma_space**2)
        return (logits.flatten(5).softmax(5).view_as(logits).flatten(3, 4).flatten(1, 2),)

    def spread(
        self, filters: tuple[Tensor, ...], maps: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """See :class:`LinearUpsampler`."""
        factor = filters[0].shape[1] // maps.shape[2]
        maps = adaptive_conv(maps, filters[0].to(maps.dtype), factor=factor, padding=self.radius)
        if tuple(maps.shape[-2:]) == tuple(output_size):
            return maps
        return F.interpolate(maps, size=tuple(output_size), mode="bilinear", align_corners=False)

    def _distance(self, side: int, factor: int, like: Tensor) -> Tensor:
        """Squared distance in cells along one axis, (side, f, K), between a pixel and a cell; ∞
        where there is none.
        """
        offsets = torch.arange(-self.radius, self.radius + 1, device=like.device)
        inside = (torch.arange(factor, dtype=like.dtype, device=like.device) + 0.5) / factor - 0.5
        squared = (inside[:, None] - offsets).square()  # (f, K)
        cells = torch.arange(side, device=like.device)[:, None] + offsets  # (side, K)
        exists = (cells >= 0) & (cells < side)
        return squared.masked_fill(~exists[:, None], torch.inf)
