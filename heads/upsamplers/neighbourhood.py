"""A learned upsampler that knows no backbone: attention of pixels over nearby cells, from the image
alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.precision import full_precision, no_autocast
from heads.upsamplers.base import LinearUpsampler
from heads.upsamplers.guidance_encoder import GuidanceEncoder, rotate
from heads.upsamplers.neighbourhood_filters import neighbourhood_filters
from heads.upsamplers.operators import adaptive_conv


@MODELS.register_module()
class NeighbourhoodUpsampler(LinearUpsampler):
    """Every pixel is a mean of the raw features of the window × window cells around it, weighted by
    the image.

        Q = encoder(x),   K = average of Q over each cell,
        both of unit length per head, then rotated by position
        W = mean over heads of softmax_q(t·⟨Q_p, K_q⟩ − ‖δ_pq‖² / 2σ²),   out_p = Σ_q W_pq · F_q

    Of the kind of NAF (CVPR 2026): queries and keys come from the image alone, values are the
    features themselves, so one set of weights serves every backbone and width. Ours: heads are
    averaged into one filter for all channels, which makes the upsampler linear with channels kept
    apart (filters can be cached, read-outs folded); a Gaussian of the distance δ (in cells) joins
    the logits. t and σ are learned, one per head. An untrained one is a joint bilateral filter with
    a random range kernel: σ starts at half a cell, with which its kernel on a flat image is as wide
    as bilinear's (a standard deviation of 0.4 cells; rotation takes its part), and t at 10.

    Filters are not negative and sum to 1: constant features stay constant, nothing overshoots. Any
    grid, size and aspect: f = ⌈output / grid⌉, the larger of both axes, the image resized to f·grid
    before and the result to the output size behind, both bilinear with anti-aliasing.

    Cost of one f·grid = H × W: encoder about 2·(5·depth/2 + 1)·dim²·H·W flop, attention 2·dim·T·H·W
    flop and heads·T·H·W exponentials, values 2·C·T·H·W flop, T = window². Memory beside the result,
    in numbers: filters T·H·W (``upsample`` without gradients makes them band by band instead),
    about 5·dim·H·W for encoder, queries and keys without gradients, and 4 · ``budget``.

    Args:
        dim: Channels of queries and keys.
        heads: Attention heads; dim / heads must be a multiple of 4.
        window: Cells to a side that a pixel sees, odd.
        depth: Residual blocks in each branch of the encoder.
        budget: Logits computed at a time.

    Raises:
        ValueError: an option that does not fit.
    """

    kind, source = "neighbourhood", "trained"

    def __init__(
        self, dim: int = 64, heads: int = 4, *, window: int = 9, depth: int = 2, budget: int = 2**23
    ) -> None:
        super().__init__(dim=dim, heads=heads, window=window, depth=depth, budget=budget)
        if heads < 1 or dim < 1 or dim % (4 * heads):
            raise ValueError(
                f"dim={dim}: must be a multiple of 4 · heads = {4 * heads}, two axes of pairs "
                "per head"
            )
        if window < 1 or window % 2 == 0:
            raise ValueError(
                f"window={window}: must be odd and positive, the pixel's own cell is in its middle"
            )
        if depth < 0 or budget < 1:
            raise ValueError(
                f"depth={depth}, budget={budget}: depth must be 0 or more, budget 1 or more"
            )
        self.heads, self.window, self.budget = heads, window, budget
        self.encoder = GuidanceEncoder(dim, depth)
        self.log_scale = nn.Parameter(torch.full((heads,), math.log(10.0)))  # of t
        self.log_sigma = nn.Parameter(torch.full((heads,), math.log(0.5)))

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Filters (B, f·h, f·w, window, window), float32 (float64 for a float64 image)."""
        bands = self._bands(image, grid, _factor(grid, output_size))
        return (torch.cat([filters for _, filters in bands], 1),)

    def spread(
        self, filters: tuple[Tensor, ...], maps: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """Filters maps (B, K, h, w) and resizes to ``output_size`` where that is not f·grid."""
        factor = filters[0].shape[1] // maps.shape[2]
        filtered = adaptive_conv(
            maps, filters[0].to(maps.dtype), factor=factor, padding=self.window // 2
        )
        return _resized(filtered, output_size)

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        """See :class:`heads.upsamplers.base.Upsampler`; without gradients a band of filters at a
        time.
        """
        if torch.is_grad_enabled():
            return super().upsample(image, features, output_size)
        (height, width), reach = features.shape[-2:], self.window - 1
        factor = _factor((height, width), output_size)
        up = features.new_empty(*features.shape[:2], factor * height, factor * width)
        padded = F.pad(features, (reach // 2,) * 4)
        for rows, filters in self._bands(image, (height, width), factor):
            seen = padded[:, :, rows.start : rows.stop + reach]
            fine = slice(rows.start * factor, rows.stop * factor)
            up[:, :, fine] = adaptive_conv(seen, filters.to(up.dtype), factor=factor)
        return _resized(up, output_size)

    def _bands(
        self, image: Tensor, grid: tuple[int, int], factor: int
    ) -> Iterator[tuple[slice, Tensor]]:
        """Filters by rows of cells, see :func:`neighbourhood_filters`."""
        encoded = self.encoder(_resized(image, (factor * grid[0], factor * grid[1])))
        with no_autocast(image):
            queries = full_precision(encoded)
            keys = F.avg_pool2d(queries, factor).unflatten(1, (self.heads, -1))
            queries = queries.unflatten(1, (self.heads, -1))
            queries, keys = (F.normalize(x, dim=2) for x in (queries, keys))
            queries, keys = rotate(queries, 1 / factor), rotate(keys, 1.0)
            keys = keys * self.log_scale.exp()[:, None, None, None]
            settings = dict(window=self.window, factor=factor, budget=self.budget)
            yield from neighbourhood_filters(queries, keys, self.log_sigma.exp(), **settings)


def _factor(grid: tuple[int, int], output_size: tuple[int, int]) -> int:
    """f: the smallest whole enlargement of the grid that is not smaller than the output."""
    return max(1, *(-(-wanted // side) for wanted, side in zip(output_size, grid, strict=True)))


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, anti-aliased where it shrinks; x itself where the size is right."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False, antialias=True)
