"""Neighbourhood attention as filters: what every high-resolution pixel takes from the
low-resolution cells around it.

All pixels of a cell look at the same window of cells. So the windows of keys are cut out on the
low-resolution grid (dim·T·h·w numbers) and the logits of a cell are one small matrix product, (f²,
d)·(d, T): nothing of size dim·T·H·W.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def neighbourhood_filters(
    queries: Tensor, keys: Tensor, sigma: Tensor, *, window: int, factor: int, budget: int = 2**23
) -> Iterator[tuple[slice, Tensor]]:
    """Attention of every pixel over the window of cells around its own, averaged over heads, band
    by band.

        W[b, Y, X, q] = mean_n softmax_q(⟨Q[b, n, :, Y, X], K[b, n, :, c + q]⟩ − ‖δ_q‖² / 2σ_n²)
        c = cell of (Y, X)

    δ_q is the distance from the pixel's centre to the centre of cell c + q, in cells; cells outside
    the grid get 0. A backward pass computes a band again and keeps none of its logits.

    Args:
        queries: (B, n, d, H, W) float, n heads; H = f·h, W = f·w.
        keys: (B, n, d, h, w), same dtype.
        sigma: (n,) width of the spatial kernel in cells, > 0.
        window: K, odd.
        factor: f.
        budget: Logits of a band, at most; but a band has one row of cells at least, B·n·K²·f²·w
            logits. Memory beside arguments and filters: about 4 · budget numbers, 8 · budget in a
            backward pass.

    Yields:
        The rows of cells of a band and its filters (B, f·rows, W, K, K), not negative, each of sum
        1. All bands cost 2·n·d·K²·H·W flop and n·K²·H·W exponentials.
    """
    batch, heads, _, height, width = keys.shape
    radius = window // 2
    rows = max(1, budget // (batch * heads * window**2 * factor**2 * width))
    spatial = squared_distances(window, factor, keys) / (
        -2 * sigma.square()[:, None, None]
    )  # (n, f², T)
    keys = F.pad(keys.flatten(1, 2), (radius,) * 4)
    inside = F.pad(torch.ones(height, width, dtype=torch.bool, device=keys.device), (radius,) * 4)
    for top in range(0, height, rows):
        below = min(top + rows, height)
        seen = slice(top, below + 2 * radius)
        tensors = queries[..., top * factor : below * factor, :], keys[:, :, seen]
        options = dict(inside=inside[seen], spatial=spatial, factor=factor)
        if torch.is_grad_enabled():
            kept = dict(use_reentrant=False, preserve_rng_state=False)
            filters = checkpoint(_band, *tensors, **kept, **options)
        else:
            filters = _band(*tensors, **options)
        yield slice(top, below), filters.unflatten(3, (window, window))


def squared_distances(window: int, factor: int, like: Tensor) -> Tensor:
    """‖δ‖² (f², K²) in cells, from the pixels of a cell to the centres of the cells of its window,
    as ``like``.
    """
    pixels = (torch.arange(factor, dtype=like.dtype, device=like.device) + 0.5) / factor - 0.5
    cells = torch.arange(window, dtype=like.dtype, device=like.device) - window // 2
    along = (cells - pixels[:, None]).square()  # (f, K), of one axis
    return (along[:, None, :, None] + along[None, :, None, :]).reshape(factor**2, window**2)


def _band(queries: Tensor, keys: Tensor, *, inside: Tensor, spatial: Tensor, factor: int) -> Tensor:
    """Filters (B, r·f, W, T) of r rows of cells: queries (B, n, d, r·f, W), keys (B, n·d, r + K −
    1, w + K − 1).
    """
    heads, depth = queries.shape[1:3]
    window = round(spatial.shape[2] ** 0.5)
    pixels = queries.unflatten(4, (-1, factor)).unflatten(3, (-1, factor))  # (B, n, d, r, f, w, f)
    pixels = pixels.permute(0, 3, 5, 1, 4, 6, 2).flatten(4, 5)  # (B, r, w, n, f², d)
    around = keys.unfold(2, window, 1).unfold(3, window, 1).flatten(4)  # (B, n·d, r, w, T)
    around = around.unflatten(1, (heads, depth)).permute(0, 3, 4, 1, 2, 5)  # (B, r, w, n, d, T)
    outside = ~inside.unfold(0, window, 1).unfold(1, window, 1).flatten(2)  # (r, w, T)
    logits = (pixels @ around + spatial).masked_fill(outside[:, :, None, None], float("-inf"))
    filters = logits.softmax(-1).mean(3).unflatten(3, (factor, factor))  # (B, r, w, f, f, T)
    return filters.transpose(2, 3).flatten(3, 4).flatten(1, 2)
