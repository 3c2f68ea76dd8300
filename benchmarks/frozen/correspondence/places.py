"""From a place to a feature of a map, and from a feature back to a place."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.frozen.correspondence.settings import Settings

_MOST_SCORES = 1 << 24  # cosines in memory at once, 64 MB


def read_features(features: Tensor, places: np.ndarray, rule: str) -> Tensor:
    """Reads a map at places; beyond the border at the nearest place of the map.

    Args:
        features: (C, h, w), unit norm along C.
        places: (K, 2) x, y in cells, the map's corner at (0, 0).
        rule: ``source`` of :class:`Settings`.

    Returns:
        (K, C), unit norm.
    """
    height, width = features.shape[1:]
    cells = np.array([width, height])
    if rule.startswith("bilinear"):
        corners = rule == "bilinear-corners"
        grid = torch.from_numpy(2 * places / cells - 1).to(features)[None, None]
        values = F.grid_sample(
            features[None], grid, mode="bilinear", padding_mode="border", align_corners=corners
        )
        return F.normalize(values[0, :, 0].T, dim=1)
    whole = np.rint(places) if rule == "rounded" else places
    columns, rows = torch.from_numpy(np.clip(whole.astype(np.int64), 0, cells - 1)).T
    return features[:, rows, columns].T


def find(
    queries: Tensor, features: Tensor, settings: Settings, *, hidden: Tensor | None = None
) -> np.ndarray:
    """Finds the place of each query by cosine; the first in row order among equals.

    Args:
        queries: (Q, C) unit norm.
        features: (C, h, w) unit norm along C.
        settings: ``answer`` and what belongs to it, and ``place``.
        hidden: (h, w) bool, cells that are no answer; None: none.

    Returns:
        (Q, 2) float64 x, y in cells, the map's corner at (0, 0).
    """
    height, width = features.shape[1:]
    if settings.answer == "nearest":
        scores = queries @ features.flatten(1)
        if hidden is not None:
            scores = scores.masked_fill(hidden.flatten(), -torch.inf)
        best = scores.argmax(1).cpu().numpy()
        cells = np.stack([best % width, best // width], 1)
    else:
        parts = []
        for some in queries.split(max(1, _MOST_SCORES // (height * width))):
            scores = (some @ features.flatten(1)).unflatten(1, (height, width))
            parts.append(soft_argmax(scores, settings, hidden=hidden))
        cells = torch.cat(parts).flip(1).double().cpu().numpy()
    return cells + 0.5 if settings.place == "centre" else cells


def soft_argmax(scores: Tensor, settings: Settings, *, hidden: Tensor | None = None) -> Tensor:
    """Mean cell under softmax(c / β), c changed around the peak before.

    c is multiplied by exp(−d² / 2σ²), d the distance from the peak, if ``gauss`` = σ > 0; then,
    beyond ``window`` cells from the peak in rows or columns, it becomes 0 or −∞. The peak is the
    first maximum in row order.

    Args:
        scores: (Q, h, w) cosines.
        settings: ``temperature`` β, ``gauss``, ``window``, ``outside``.
        hidden: (h, w) bool, cells without weight; None: none.

    Returns:
        (Q, 2) row, column; cell 0 is at 0.
    """
    height, width = scores.shape[1:]
    seen = scores if hidden is None else scores.masked_fill(hidden, -torch.inf)
    peak = seen.flatten(1).argmax(1)
    rows = torch.arange(height, device=scores.device).to(scores.dtype)
    columns = torch.arange(width, device=scores.device).to(scores.dtype)
    down = rows[None, :, None] - (peak // width)[:, None, None]  # (Q, h, 1) cells from the peak
    across = columns[None, None, :] - (peak % width)[:, None, None]  # (Q, 1, w)
    if settings.gauss:
        scores = scores * torch.exp(-(down**2 + across**2) / (2 * settings.gauss**2))
    if settings.window:
        beyond = (down.abs() > settings.window) | (across.abs() > settings.window)
        value = 0.0 if settings.outside == "zero" else -torch.inf
        scores = scores.masked_fill(beyond, value)
    if hidden is not None:
        scores = scores.masked_fill(hidden, -torch.inf)
    weights = (scores / settings.temperature).flatten(1).softmax(1).view_as(scores)
    return torch.stack([weights.sum(2) @ rows, weights.sum(1) @ columns], 1)
