"""Textures: functions of surface coordinates to [0, 1], which mix a surface's two colours."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .classes import TEXTURES

_TILE = 256  # side of the periodic noise tiles, in tile pixels
_BAND_CYCLES = 16  # waves of the band-pass tile along one side
# half width of the soft edge between the two colours, in units of the value that is thresholded
_EDGE = 0.16

# Period of each texture over the drawn period. All have fine structure of about the same size, so
# that spatial frequency alone does not tell them apart either.
_PERIOD_FACTOR = {"stripes": 1.0, "checks": 1.35, "dots": 1.05, "bricks": 0.95, "blobs": 1.25}


@dataclass(frozen=True)
class TextureSpec:
    """One drawn texture. Surface coordinates are in image widths, x right, y down."""

    name: str  # one of TEXTURES, or a ground texture
    period: float  # image widths
    angle: float  # radians, of the texture on its surface
    phase: tuple[float, float]  # periods
    duty: float  # shift of the threshold, 0 = about equal shares of both colours
    warp: float  # amplitude of the distortion, periods
    tile_shift: tuple[float, float]  # tile pixels, where the noise tiles are read


def sample_texture(name: str, rng: np.random.Generator) -> TextureSpec:
    """Draws phase, period, orientation and irregularity of the texture ``name``."""
    return TextureSpec(
        name=name,
        period=rng.uniform(1 / 15, 1 / 10) * _PERIOD_FACTOR.get(name, 1.0),
        angle=rng.uniform(0, 2 * math.pi),
        phase=tuple(rng.uniform(0, 8, 2)),
        duty=rng.uniform(-0.2, 0.2),
        warp=rng.uniform(0.03, 0.12),
        tile_shift=tuple(rng.uniform(0, _TILE, 2)),
    )


def pattern(spec: TextureSpec, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Value of an object texture at points of its surface.

    Args:
        spec: the texture; ``spec.name`` must be one of ``TEXTURES``.
        x, y: (H, W) float32, surface coordinates in image widths.

    Returns:
        (H, W) float32 in [0, 1]: share of the second colour.

    Raises:
        ValueError: ``spec.name`` is not an object texture.
    """
    u, v = _texture_coordinates(spec, x, y)
    if spec.name == "blobs":
        scale = _TILE / _BAND_CYCLES
        return _soften(read_tile(_band_tile(), u * scale, v * scale, spec.tile_shift) + spec.duty)
    bend = spec.warp * read_tile(fractal_tile(), u * 6, v * 6, spec.tile_shift)
    u, v = u + bend, v - bend
    if spec.name == "stripes":
        return _soften(np.cos(2 * math.pi * u) + spec.duty)
    if spec.name == "checks":
        # A little above the product of cosines in slope: corners stay square instead of round.
        return _soften(2 * np.cos(2 * math.pi * u) * np.cos(2 * math.pi * v) + 0.5 * spec.duty)
    if spec.name == "dots":
        return _dots(spec, u, v)
    if spec.name == "bricks":
        return _bricks(spec, u, v)
    raise ValueError(f"texture={spec.name!r} is unknown; one of {', '.join(TEXTURES)}")


def _texture_coordinates(
    spec: TextureSpec, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Turns surface coordinates into texture periods along the texture's own axes."""
    c, s = math.cos(spec.angle) / spec.period, math.sin(spec.angle) / spec.period
    u = np.float32(c) * x + np.float32(s) * y + np.float32(spec.phase[0])
    v = np.float32(-s) * x + np.float32(c) * y + np.float32(spec.phase[1])
    return u, v


def _dots(spec: TextureSpec, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Discs on a hexagonal lattice."""
    v = v * np.float32(2 / math.sqrt(3))  # rows are closer than columns in a hexagonal lattice
    row = np.floor(v)
    u = u + 0.5 * (row % 2)
    du = u - np.floor(u) - 0.5
    dv = (v - row - 0.5) * np.float32(math.sqrt(3) / 2)
    radius = 0.32 + 0.12 * spec.duty
    return _soften(5 * (radius - np.sqrt(du * du + dv * dv)))


def _bricks(spec: TextureSpec, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Running bond: rows of height 1 and bricks of length 2.2, each row moved by half a brick, thin
    joints.
    """
    row = np.floor(v)
    along = u / np.float32(2.2) + 0.5 * (row % 2)
    to_end = (0.5 - np.abs(along - np.floor(along) - 0.5)) * np.float32(2.2)
    to_row = 0.5 - np.abs(v - row - 0.5)
    joint = 0.13 + 0.06 * spec.duty
    return _soften(5 * (np.minimum(to_end, to_row) - joint))


def ground_pattern(spec: TextureSpec, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Value of the ground: noise of all frequencies ("gravel"), or the same drawn out in one
    direction ("grain").

    Args:
        spec: the texture; ``spec.name`` is "gravel" or "grain".
        x, y: (H, W) float32, coordinates on the ground plane in image widths.

    Returns:
        (H, W) float32 in [0, 1].
    """
    u, v = _texture_coordinates(spec, x, y)
    stretch = 1.0 if spec.name == "gravel" else 0.22
    fine = read_tile(fractal_tile(), u * (14 * stretch), v * 14, spec.tile_shift)
    coarse = read_tile(fractal_tile(), v * 2.5, u * 2.5, spec.tile_shift)
    return np.clip(0.5 + 0.2 * fine + 0.12 * coarse, 0, 1)


GROUND_TEXTURES = ("gravel", "grain")


def _soften(value: np.ndarray) -> np.ndarray:
    """Soft threshold at 0: 0 below, 1 above, linear in between."""
    return np.clip(0.5 + value * np.float32(0.5 / _EDGE), 0, 1)


def read_tile(
    tile: np.ndarray, x: np.ndarray, y: np.ndarray, shift: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """Reads a periodic tile bilinearly; ``x``, ``y`` (H, W) float32 and ``shift`` are in tile
    pixels.
    """
    return cv2.remap(
        tile,
        (x + np.float32(shift[0])).astype(np.float32),
        (y + np.float32(shift[1])).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


@cache
def fractal_tile() -> np.ndarray:
    """(256, 256) float32 periodic noise of zero mean and unit variance with amplitude 1 /
    frequency.
    """
    return _noise_tile(lambda k: np.where(k > 0, 1 / np.maximum(k, 1.5), 0), stream=1)


@cache
def _band_tile() -> np.ndarray:
    """(256, 256) float32 periodic noise of an octave around one frequency; its sign makes blobs.

    A narrower band would make labyrinths, which on a small object look like stripes.
    """
    return _noise_tile(lambda k: np.exp(-0.5 * ((k - _BAND_CYCLES) / 6.0) ** 2), stream=2)


def _noise_tile(amplitude: Callable[[np.ndarray], np.ndarray], stream: int) -> np.ndarray:
    """White noise shaped by ``amplitude`` (a function of cycles per tile); the same for every data
    set.
    """
    white = np.random.Generator(np.random.Philox(key=stream)).standard_normal((_TILE, _TILE))
    cycles = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None]) * _TILE
    tile = np.fft.irfft2(np.fft.rfft2(white) * amplitude(cycles), s=(_TILE, _TILE))
    return np.ascontiguousarray((tile - tile.mean()) / tile.std(), dtype=np.float32)
