"""Two views of an image on one grid: their maps sampled at the same places of the region they
share.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

from heads.precision import full_precision, no_autocast
from pretrain.geometry import shared_boxes


def overlap_cells(features: Tensor, geometry: Tensor, other: Tensor, *, side: int) -> Tensor:
    """Averages a view's map over a grid laid into the region that it shares with another view.

    Called once for each of the two views, it gives maps whose cells lie at the same places of the
    source, in the source's order, also where a view is mirrored.

    Args:
        features: (B, D, H, W) map of the view.
        geometry: (B, 2, 3) maps of the view. other: (B, 2, 3) maps of the other one; both upright.
        side: n, cells of the grid in each direction.

    Returns:
        (B, n², D), row by row; of images whose views share nothing (:func:`shares_region`) cells
        of the whole view, which are no match. Cost O(B·D·H·W).

    Raises:
        ValueError: a turned view.
    """
    boxes, mirrored = shared_boxes(geometry, other)
    shared = (boxes[:, :2] < boxes[:, 2:]).all(1, keepdim=True)
    low, high = torch.where(shared, boxes[:, :2], 0.0), torch.where(shared, boxes[:, 2:], 1.0)
    height, width = features.shape[2:]
    (x1, y1), (x2, y2) = low.unbind(1), high.unbind(1)
    boxes = torch.stack([x1 * width, y1 * height, x2 * width, y2 * height], 1)
    cells = box_cells(features, boxes, side=side)
    for axis, flipped in ((3, mirrored[:, 0]), (2, mirrored[:, 1])):
        cells = torch.where(flipped[:, None, None, None], cells.flip(axis), cells)
    return cells.flatten(2).transpose(1, 2)


def box_cells(features: Tensor, boxes: Tensor, *, side: int) -> Tensor:
    """Averages maps over the n × n equal parts of a box (RoI-align with its half-cell shift).

    A part of s cells takes ⌈s⌉ bilinear samples in each direction; beyond the outermost cells'
    centres the map goes on with their values.

    Args:
        features: (B, D, H, W). boxes: (B, 4) x1, y1, x2, y2 in cells, 0 being the map's edge.
        side: n.

    Returns:
        (B, D, n, n).
    """
    with no_autocast(features):
        features = full_precision(features)
        images = torch.arange(len(boxes), device=boxes.device)[:, None]
        boxes = torch.cat([images, boxes], 1).to(features)
        return roi_align(features, boxes, output_size=side, sampling_ratio=-1, aligned=True)


def shares_region(geometry: Tensor, other: Tensor) -> Tensor:
    """Returns which images' two upright views (B, 2, 3) share a region: (B,) bool."""
    return shared_part(geometry, other) > 0


def shared_part(geometry: Tensor, other: Tensor) -> Tensor:
    """Returns how much of an upright view (B, 2, 3) lies within another: (B,) in [0, 1] of its
    area.
    """
    boxes, _ = shared_boxes(geometry, other)
    return (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(1)
