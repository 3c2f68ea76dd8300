"""Procedural textures: plasma for fog, ice for frost."""

from __future__ import annotations

import math

import cv2
import numpy as np

from benchmarks.robustness.pixels import LONGEST_DRAWN, PUBLISHED_SIDE

#: Side of the published plasma map, from which a 224-pixel image's is cut.
_PLASMA_SIDE = 256
_PATCHES, _DIRECTIONS = 18, 6  # of ice: patches that grew together, directions of their needles


def plasma(shape: tuple[int, ...], decay: float, rng: np.random.Generator) -> np.ndarray:
    """Random clouds by the diamond-square rule on a torus: (H, W) float32 in [0, 1].

    From one point on, the grid is doubled: new points are the mean of their four neighbours plus a
    uniform draw, whose range shrinks by decay² at each doubling (the release multiplies a decaying
    range with itself). The map is stretched to 0 … 1. As in the release, an image whose longer side
    is 224 gets a part of a map of 256; other sizes get the map resized so that its structures are
    the same part of the image. Maps have at most 1024 points a side: what finer ones add is less
    than half a grey level.
    """
    side = max(2, round(max(shape[:2]) * _PLASMA_SIDE / PUBLISHED_SIDE))
    power = min(LONGEST_DRAWN, 1 << math.ceil(math.log2(side)))
    grid = np.zeros((1, 1))
    amplitude = 1.0
    while len(grid) < power:
        grid = _doubled(grid, amplitude, rng)
        amplitude /= decay**2
    grid = ((grid - grid.min()) / np.ptp(grid)).astype(np.float32)
    if side != power:
        interpolation = cv2.INTER_AREA if side < power else cv2.INTER_LINEAR
        grid = cv2.resize(grid, (side, side), interpolation=interpolation)
    return grid[: shape[0], : shape[1]]


def _doubled(grid: np.ndarray, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    """One step of the diamond-square rule: (n, n) to (2n, 2n), periodic."""
    size = len(grid)
    centre, across, down = rng.uniform(-amplitude, amplitude, (3, size, size))
    right, below = np.roll(grid, -1, 1), np.roll(grid, -1, 0)
    centre += (grid + right + below + np.roll(right, -1, 0)) / 4
    across += (grid + right + centre + np.roll(centre, 1, 0)) / 4
    down += (grid + below + centre + np.roll(centre, 1, 1)) / 4
    doubled = np.empty((2 * size, 2 * size))
    doubled[::2, ::2], doubled[1::2, 1::2] = grid, centre
    doubled[::2, 1::2], doubled[1::2, ::2] = across, down
    return doubled


def ice(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Frost on a pane, ours: (H, W, 3) float32 in [0, 1], black where the pane is clear.

    Patches of needles with side branches grow on the pane, each in its own direction; clouds make
    the ice thick or thin, and thick ice is white between the needles, too.

    Args:
        shape: (H, W).
        scale: Factor for lengths, 1 for a shorter side of 224 pixels.
        rng: Source of everything drawn.
    """
    clouds = plasma(shape, 1.5, rng)
    needles = np.zeros(shape, np.float32)
    patches = _patches(shape, scale, rng)
    # Sparse: few of them start a needle.
    seeds = np.maximum(0, rng.standard_normal(shape, dtype=np.float32) - 1)
    turn = rng.uniform(0, 180)
    for direction in range(_DIRECTIONS):
        kernel = _needle(turn + 180 * direction / _DIRECTIONS, scale)
        grown = cv2.filter2D(seeds, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
        np.copyto(needles, grown, where=patches == direction)
    needles /= np.quantile(needles, 0.97) + 1e-6
    thickness = np.clip((clouds - clouds.mean()) / (2 * clouds.std() + 1e-6) + 0.5, 0, 1)
    grey = np.clip(needles * (0.25 + 0.75 * thickness) + 0.4 * thickness**2, 0, 1)
    return grey[..., None] * np.array([0.88, 0.95, 1.0], np.float32)


def _patches(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W) int64: the direction of the nearest of some points, whose borders wind."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    y = rows.astype(np.float32) + 30 * scale * (plasma(shape, 1.4, rng) - 0.5)
    x = columns.astype(np.float32) + 30 * scale * (plasma(shape, 1.4, rng) - 0.5)
    points = rng.random((_PATCHES, 2)) * shape
    directions = rng.integers(0, _DIRECTIONS, _PATCHES)
    nearest, chosen = np.full(shape, np.inf, np.float32), np.zeros(shape, np.int64)
    for (row, column), direction in zip(points.astype(np.float32), directions, strict=True):
        distance = (y - row) ** 2 + (x - column) ** 2
        np.copyto(chosen, direction, where=distance < nearest)
        np.minimum(nearest, distance, out=nearest)
    return chosen


def _needle(angle: float, scale: float) -> np.ndarray:
    """Kernel of one needle with two side branches: antialiased lines that fade to their ends;
    square, odd, float32.
    """
    kernel = np.zeros((2 * math.ceil(14 * scale) + 1,) * 2, np.float32)
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    for turn, reach, weight in ((0, 14 * scale, 1.0), (60, 6 * scale, 0.5), (-60, 6 * scale, 0.5)):
        sine, cosine = math.sin(math.radians(angle + turn)), math.cos(math.radians(angle + turn))
        along = offsets * cosine + offsets[:, None] * sine
        across = offsets[:, None] * cosine - offsets * sine
        line = np.clip(1 - np.abs(across), 0, 1) * np.clip(1 - np.abs(along) / reach, 0, 1)
        kernel = np.maximum(kernel, weight * line)
    return (kernel / kernel.sum()).astype(np.float32)
