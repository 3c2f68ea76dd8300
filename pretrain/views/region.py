"""Rotated regions of a picture: where they lie, and warping them out of a decoded image that may be
scaled down.

A region is an upright box in a frame that is turned about the centre of its parent (the whole
image, or another view's crop). Every point of it lies in the parent, so no filler ever shows, and
black corners betray neither angle nor border.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from pretrain.views.crop import decode_scale, sample_crop


@dataclass(frozen=True)
class Region:
    """Where a rotated or nested view lies: ``map`` (2, 3) float64, from its unit square to the
    source image's.
    """

    map: Tensor


def sample_region(
    height: int,
    width: int,
    *,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    flip: float,
    rotation: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draws a region of a parent of height × width pixels: a random resized crop, then an angle,
    then the trimming.

    Takes the same uniforms as ``sample_crop`` and one more.

    Args:
        scale, ratio, flip: of the box before it is turned, see ``crop.sample_crop``.
        rotation: the angle is drawn from U(−rotation, rotation), degrees; the region's content
            appears turned counter-clockwise for a positive one.

    Returns:
        (2, 3) float64 map from the region's unit square to the parent's.
    """
    crop = sample_crop(height, width, scale=scale, ratio=ratio, flip=flip, rng=rng)
    angle = rotation * (2 * rng.random() - 1)
    box = region_box((crop.top, crop.left, crop.height, crop.width), angle, parent=(height, width))
    return region_map(box, angle, parent=(height, width), flip=crop.flip)


def region_box(
    box: tuple[float, float, float, float], angle: float, *, parent: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Returns the bounding box of a turned box, trimmed until it lies within the parent (CIM's
    crops).

    Coordinates of the turned frame: x' = X·cos θ + Y·sin θ, y' = −X·sin θ + Y·cos θ, with (X, Y)
    from the parent's centre, y downwards. Each edge of the parent can be crossed by one corner of
    the bounding box only; one of that corner's sides moves inwards, on the axis where the way is
    shorter.

    Args:
        box: (top, left, height, width) in pixels of the parent. angle: θ in degrees, within [−45,
            45].
        parent: (height, width) of the parent in pixels.

    Returns:
        (x1, y1, x2, y2) in the turned frame, in pixels from the parent's centre.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    top, left, height, width = box
    centre_x, centre_y = left + width / 2 - parent[1] / 2, top + height / 2 - parent[0] / 2
    x, y = centre_x * cos + centre_y * sin, -centre_x * sin + centre_y * cos
    reach_x, reach_y = (width * cos + height * abs(sin)) / 2, (width * abs(sin) + height * cos) / 2
    low, high = [x - reach_x, y - reach_y], [x + reach_x, y + reach_y]
    for corner, (normal, distance) in _edges(cos, sin, parent):
        sides = [(low, high)[sign > 0] for sign in corner]
        excess = normal[0] * sides[0][0] + normal[1] * sides[1][1] - distance
        if excess > 0:
            axis = 0 if abs(normal[0]) > abs(normal[1]) else 1
            sides[axis][axis] -= excess / normal[axis]
    if low[0] < high[0] and low[1] < high[1]:
        return (*low, *high)
    # Long regions of long parents leave nothing so; then the untrimmed box shrinks about its
    # centre.
    fit = min(
        (distance - n[0] * x - n[1] * y) / (abs(n[0]) * reach_x + abs(n[1]) * reach_y)
        for _, (n, distance) in _edges(cos, sin, parent)
    )
    return x - fit * reach_x, y - fit * reach_y, x + fit * reach_x, y + fit * reach_y


Edge = tuple[tuple[float, float], float]


def _edges(
    cos: float, sin: float, parent: tuple[float, float]
) -> list[tuple[tuple[int, int], Edge]]:
    """The parent's edges in the turned frame, each with the one corner of an upright box that can
    cross it.

    Returns:
        ((x side, y side) of the corner, (outward normal, distance from the centre)) in the
        release's order: top left, top right, bottom left, bottom right. The order matters, since
        each step makes the box smaller for the next.
    """
    by_corner = {}
    for normal, distance in (
        ((cos, -sin), parent[1] / 2),
        ((sin, cos), parent[0] / 2),
    ):  # right and lower edge
        for outwards in (-1, 1):
            n = (outwards * normal[0], outwards * normal[1])
            # At θ = 0 the edges are parallel to the box, nothing can cross them, and two of them
            # drop out here.
            corner = tuple(int(math.copysign(1, value or outwards)) for value in n)
            by_corner[corner[::-1]] = (corner, (n, distance))
    return [by_corner[key] for key in sorted(by_corner)]


def region_map(
    box: tuple[float, float, float, float],
    angle: float,
    *,
    parent: tuple[float, float],
    flip: bool = False,
) -> np.ndarray:
    """Returns the (2, 3) map from a region's unit square to its parent's.

    Args:
        box: (x1, y1, x2, y2) in the turned frame, see :func:`region_box`. angle: in degrees.
        parent: (height, width) in pixels. flip: mirror the region left to right.
    """
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x1, y1, x2, y2 = box
    if flip:
        x1, x2 = x2, x1
    turn_back = np.array([[cos, -sin], [sin, cos]]) / np.array(
        [[parent[1]], [parent[0]]]
    )  # pixels -> unit square
    linear = turn_back * np.array([x2 - x1, y2 - y1])
    return np.column_stack([linear, turn_back @ (x1, y1) + 0.5])


def extent(region: Region, source: tuple[int, int]) -> tuple[float, float]:
    """Returns the (height, width) of a region in pixels of the source, along its own axes."""
    x, y = (region.map[:, :2] * torch.tensor([[source[1]], [source[0]]])).norm(dim=0).tolist()
    return y, x


def warp(
    image: np.ndarray, region: Region, *, source: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Samples a region out of a decoded image, bilinear, averaged where it is shrunk.

    Args:
        image: (H', W', 3) uint8, the source or a scaled-down version of it.
        source: (H, W) of the full-size source. size: (h, w) of the view in pixels.

    Returns:
        (3, h, w) uint8, contiguous. Samples within half a pixel of the image's edge repeat its
        outermost pixels.
    """
    scale_y, scale_x = decode_scale(source, image.shape[:2])
    to_pixels = np.array([[source[1] * scale_x], [source[0] * scale_y]])
    linear, offset = region.map[:, :2].numpy() * to_pixels, region.map[:, 2:].numpy() * to_pixels
    steps = np.linalg.norm(linear, axis=0) / (size[1], size[0])
    # Several samples per output pixel, then their mean: warpAffine by itself skips pixels where it
    # shrinks.
    fine = max(1, math.ceil(steps.max() - 0.25))
    per_sample = linear / (size[1] * fine, size[0] * fine)
    matrix = np.column_stack([per_sample, offset + per_sample.sum(1, keepdims=True) / 2 - 0.5])
    samples = cv2.warpAffine(
        image,
        matrix,
        (size[1] * fine, size[0] * fine),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if fine > 1:
        samples = cv2.resize(samples, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(samples).permute(2, 0, 1).contiguous()
