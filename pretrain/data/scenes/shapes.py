"""Outlines of the objects: tests whether points lie inside, at equal area for every shape."""

from __future__ import annotations

import math

import numpy as np

from .classes import SHAPES

# Sizes that give every shape the area of the unit disc (pi), so that apparent size says nothing
# about the shape.
_SQUARE_HALF = math.sqrt(math.pi) / 2
_TRIANGLE_CIRCUMRADIUS = math.sqrt(math.pi / (3 * math.sqrt(3) / 4))
_STAR_INNER = 0.5  # inner over outer radius; a pentagram's 0.38 leaves arms too thin for a texture
_STAR_CIRCUMRADIUS = math.sqrt(math.pi / (5 * _STAR_INNER * math.sin(math.pi / 5)))
_CROSS_WIDTH = 0.38  # half width of an arm over its half length
_CROSS_HALF = math.sqrt(math.pi / (8 * _CROSS_WIDTH - 4 * _CROSS_WIDTH**2))

# Distance of the farthest point of the outline from the centre, in units of the radius of the disc
# of equal area.
EXTENT = {
    "disc": 1.0,
    "square": _SQUARE_HALF * math.sqrt(2),
    "triangle": _TRIANGLE_CIRCUMRADIUS,
    "star": _STAR_CIRCUMRADIUS,
    "cross": _CROSS_HALF * math.hypot(1, _CROSS_WIDTH),
}


def inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which points lie inside the outline of ``shape``, which is centred on the origin and has area
    pi.

    Args:
        shape: one of ``SHAPES``.
        x, y: (...) float, any common shape; local coordinates in units of the radius of the disc of
            equal area.

    Returns:
        (...) bool.

    Raises:
        ValueError: ``shape`` is unknown.
    """
    if shape == "disc":
        return x * x + y * y <= 1
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) <= _SQUARE_HALF
    if shape == "triangle":
        slanted = (
            math.sin(math.pi / 3) * np.abs(x) - 0.5 * y
        )  # the two upper edges, folded on one another
        return np.maximum(slanted, y) <= _TRIANGLE_CIRCUMRADIUS / 2
    if shape == "star":
        return _inside_star(x, y)
    if shape == "cross":
        longer, shorter = np.maximum(np.abs(x), np.abs(y)), np.minimum(np.abs(x), np.abs(y))
        return (longer <= _CROSS_HALF) & (shorter <= _CROSS_HALF * _CROSS_WIDTH)
    raise ValueError(f"shape={shape!r} is unknown; one of {', '.join(SHAPES)}")


def _inside_star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five-pointed star: folds the plane into half an arm, whose outline is one straight edge."""
    sector = 2 * math.pi / 5
    angle = np.arctan2(x, -y)
    angle = np.abs(angle - sector * np.round(angle / sector))
    radius = np.sqrt(x * x + y * y)
    tip = _STAR_CIRCUMRADIUS
    notch_x = tip * _STAR_INNER * math.cos(sector / 2)
    notch_y = tip * _STAR_INNER * math.sin(sector / 2)
    # The origin is on the positive side of the edge from the tip (tip, 0) to the notch.
    return (notch_x - tip) * radius * np.sin(angle) - notch_y * (radius * np.cos(angle) - tip) >= 0
