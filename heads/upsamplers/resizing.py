"""Bicubic resizing as narrow matrices, so that a filter of a resized map becomes a filter of the
map itself.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor


def bands(
    grid: tuple[int, int], like: Tensor, *, factor: int, radius: int
) -> tuple[Tensor, Tensor]:
    """Rows and columns of a bicubically enlarged and reflect-padded map as combinations of
    low-resolution ones.

    For an output row Y in cell m = ⌊Y/f⌋ and an offset i of the filter, row Y + i − r of the
    enlarged map (reflected at its borders, low-resolution indices clamped as torch's bicubic does)
    is Σ_k rows[Y, i, k] · low[m + k − R].

    Args:
        grid: (h, w) of the low-resolution map.
        like: Gives dtype and device.
        factor: f.
        radius: r of the filter on the enlarged map.

    Returns:
        rows (f·h, 2r+1, K) and cols (f·w, 2r+1, K) with K = 2R+1, R = :func:`low_radius`. Kept for
        the next call.
    """
    options = dict(factor=factor, radius=radius, device=like.device, dtype=like.dtype)
    return _placed(grid[0], **options), _placed(grid[1], **options)


def low_radius(factor: int, radius: int) -> int:
    """R: how many low-resolution cells a filter of ``radius`` on the enlarged map reaches to either
    side.
    """
    if factor == 1:
        return radius
    return max(1 - _floor(0.5 - radius, factor), _floor(factor - 0.5 + radius, factor) + 2)


def _floor(position: float, factor: int) -> int:
    """Index of the low-resolution sample at or before a high-resolution position
    (align_corners=False).
    """
    return int((position / factor - 0.5) // 1)


@functools.lru_cache(maxsize=64)
def _placed(
    side: int, *, factor: int, radius: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """:func:`_band` where it is needed: on a GPU, a copy at every call would wait for it."""
    with torch.inference_mode(False):  # what is kept serves training as well, whoever asked first
        return _band(side, factor, radius).to(device=device, dtype=dtype)


def _band(side: int, factor: int, radius: int) -> Tensor:
    """(f·side, 2r+1, K) float64."""
    reach, size = low_radius(factor, radius), factor * side
    if radius >= size:
        raise ValueError(
            f"a filter of radius {radius} cannot be reflected at the borders of a map of side "
            f"{size}"
        )
    identity = torch.eye(side, dtype=torch.float64)[None, None]
    enlarged = F.interpolate(identity, size=(size, side), mode="bicubic", align_corners=False)[
        0, 0
    ]  # (f·side, side)
    padded = F.pad(enlarged[None, None], (reach, reach, 0, 0))[
        0, 0
    ]  # columns before the first and behind the last
    padded = F.pad(padded.T[None], (radius, radius), mode="reflect")[0].T
    window = padded.unfold(0, 2 * radius + 1, 1)  # (f·side, side + 2R, 2r+1)
    cells = torch.arange(size) // factor
    columns = cells[:, None] + torch.arange(2 * reach + 1)  # (f·side, K)
    band = window.gather(1, columns[..., None].expand(-1, -1, 2 * radius + 1))
    return band.transpose(1, 2).contiguous()
