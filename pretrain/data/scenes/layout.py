"""What is in a scene and how it moves: drawing of objects, ground, light and camera, and their
projection.

Coordinates: the image is the unit square, x right, y down (pixel (i, j) of an S x S image has its
centre at ((j + .5) / S, (i + .5) / S)). The camera is a pinhole of focal length 1 image width that
looks along +z; world lengths are in metres. Objects are flat cards that face the camera; the ground
is a tilted plane behind all of them. Nothing here depends on the size in pixels, so the same scene
can be drawn at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .classes import CLASSES, ObjectClass
from .shapes import EXTENT, inside
from .textures import GROUND_TEXTURES, TextureSpec, sample_texture

_STREAM = {"train": 0, "val": 1}
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Surface:
    """How a surface looks: two colours mixed by a texture. Colours (3,) are RGB in [0, 1]."""

    texture: TextureSpec
    colours: tuple[np.ndarray, np.ndarray]
    slope: tuple[
        float, float
    ]  # relative change of brightness per radius along x and y of the surface
    dome: float  # relative darkening at one radius from the centre
    weathering: float  # relative standard deviation of a cloudy change of brightness


@dataclass(frozen=True)
class Thing:
    """One object."""

    kind: ObjectClass
    surface: Surface
    centre: tuple[float, float]  # unit square, in frame 0
    radius: float  # image widths, of the disc of equal area, in frame 0
    aspect: float  # width over height, at the same area
    angle: float  # radians, clockwise on the screen, in frame 0
    depth: float  # metres
    velocity: tuple[float, float] = (0.0, 0.0)  # image widths per frame at its depth
    spin: float = 0.0  # radians per frame
    turn: float = 0.0  # radians, about the vertical on the screen, out of the image plane

    @property
    def extent(self) -> float:
        """Radius of a circle around the centre that holds the whole object, image widths in frame
        0.
        """
        return EXTENT[self.kind.shape] * self.radius * max(self.aspect**0.5, self.aspect**-0.5)


@dataclass(frozen=True)
class Camera:
    """Constant motion of the camera; frame 0 is at the origin."""

    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)  # metres per frame
    roll: float = 0.0  # radians per frame


@dataclass(frozen=True)
class Scene:
    """A whole scene. ``things`` are sorted from far to near, the order of painting."""

    things: tuple[Thing, ...]
    ground: Surface
    plane: tuple[
        float, float, float
    ]  # (gx, gy, g0): gx X + gy Y + g0 Z = 1, with X, Y, Z in metres
    light: tuple[float, float]  # direction (to the light) on the screen times strength
    tint: np.ndarray  # (3,) gain of the RGB channels
    shadow: float  # darkness of cast shadows in [0, 1]
    noise: float  # standard deviation of the sensor noise, grey levels of 255
    noise_seed: int
    camera: Camera = Camera()


@dataclass(frozen=True)
class Pose:
    """Where a thing is in one frame: x = centre + scale · diag(cos turn, 1) · R(angle) · local,
    local in image widths of frame 0. A turned card is narrower; it is small against its distance,
    so that its near and its far half have one scale.
    """

    centre: np.ndarray  # (2,)
    scale: float
    angle: float
    turn: float = 0.0

    def from_local(self) -> np.ndarray:
        """(2, 3) float64 affine map from local coordinates to the unit square."""
        c, s = self.scale * math.cos(self.angle), self.scale * math.sin(self.angle)
        width = math.cos(self.turn)
        return np.array([[width * c, -width * s, self.centre[0]], [s, c, self.centre[1]]])

    def to_local(self) -> np.ndarray:
        """(2, 3) float64, the inverse of :meth:`from_local`."""
        m = self.from_local()
        linear = np.linalg.inv(m[:, :2])
        return np.column_stack([linear, -linear @ m[:, 2]])


def scene_rng(seed: int, split: str, kind: str, index: int) -> np.random.Generator:
    """The random numbers of one scene; they depend on nothing but the arguments (``kind``: "image",
    "sequence", "set").
    """
    stream = ("image", "sequence", "set").index(kind)
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, _STREAM[split], stream, index]))
    )


def sample_scene(rng: np.random.Generator, moving: bool = False) -> Scene:
    """Draws a scene of up to seven objects of different classes.

    Args:
        rng: used up in a fixed order; the scene is a function of its state.
        moving: also draw the motion of camera and objects (for sequences).
    """
    kinds = rng.permutation(len(CLASSES))[: rng.integers(4, 8)]
    things: list[Thing] = []
    for kind in kinds:
        thing = sample_thing(CLASSES[kind], things, rng, moving)
        if thing is not None:
            things.append(thing)
    distance = rng.uniform(3.2, 4.5)
    plane = np.array([rng.uniform(-0.15, 0.15), rng.uniform(0.2, 0.6), 1.0]) / distance
    camera = Camera()
    if moving:
        drift = rng.uniform(0, 2 * math.pi)
        pace = rng.uniform(0.01, 0.03)
        speed = (pace * math.cos(drift), pace * math.sin(drift), rng.uniform(-0.03, 0.03))
        camera = Camera(velocity=speed, roll=rng.uniform(-0.03, 0.03))
    towards = rng.uniform(0, 2 * math.pi)
    strength = rng.uniform(0.1, 0.9)
    return Scene(
        things=tuple(sorted(things, key=lambda thing: -thing.depth)),
        ground=_sample_surface(GROUND_TEXTURES[rng.integers(len(GROUND_TEXTURES))], rng),
        plane=tuple(plane),
        light=(strength * math.cos(towards), strength * math.sin(towards)),
        tint=np.exp(rng.normal(0, 0.08, 3) + rng.normal(0, 0.12)),
        shadow=rng.uniform(0.15, 0.55),
        noise=rng.uniform(1, 5),
        noise_seed=int(rng.integers(2**63)),
        camera=camera,
    )


def sample_thing(
    kind: ObjectClass, others: list[Thing], rng: np.random.Generator, moving: bool
) -> Thing | None:
    """Draws one object that covers no other one too much; None if there is no room for it.

    Args:
        kind: its class.
        others: objects that are there already.
        rng, moving: as for :func:`sample_scene`.
    """
    radius = rng.uniform(0.12, 0.22)
    aspect, angle, depth = (
        math.exp(rng.uniform(-0.2, 0.2)),
        rng.uniform(0, 2 * math.pi),
        rng.uniform(1.2, 2.2),
    )
    surface = _sample_surface(kind.texture, rng)
    velocity = tuple(rng.normal(0, 0.012, 2)) if moving else (0.0, 0.0)
    spin = rng.normal(0, 0.05) if moving else 0.0
    for _ in range(20):
        x, y = rng.uniform(0.06, 0.94, 2)
        # 0.7 of the touching distance of equal discs: overlaps are common, most of each object
        # stays visible, and no object lies wholly inside another one: visible parts have no holes,
        # and polygons can describe them.
        if all(math.dist((x, y), o.centre) >= 0.7 * (radius + o.radius) for o in others):
            return Thing(kind, surface, (x, y), radius, aspect, angle, depth, velocity, spin)
    return None


def _sample_surface(texture: str, rng: np.random.Generator) -> Surface:
    """Draws colours and shading without looking at the class: colour says nothing about it."""
    spec = sample_texture(texture, rng)
    dark = rng.uniform(0.1, 0.5)
    bright = dark + rng.uniform(0.25, 0.48)
    colours = [_colour(dark, rng), _colour(bright, rng)]
    if rng.random() < 0.5:
        colours.reverse()
    slope, towards = rng.uniform(0, 0.3), rng.uniform(0, 2 * math.pi)
    return Surface(
        texture=spec,
        colours=(colours[0], colours[1]),
        slope=(slope * math.cos(towards), slope * math.sin(towards)),
        dome=rng.uniform(0, 0.25),
        weathering=rng.uniform(0.03, 0.12),
    )


def _colour(luma: float, rng: np.random.Generator) -> np.ndarray:
    """A colour of any hue and saturation with the given luma: (3,) RGB in [0, 1]."""
    hue, saturation = rng.uniform(0, 6), rng.uniform(0.05, 0.95)
    pure = np.clip(np.abs((hue - np.array([0, 2, 4]) + 3) % 6 - 3) * -1 + 2, 0, 1)
    colour = 1 - saturation * (1 - pure)
    own = float(colour @ _LUMA)
    if luma <= own:
        return colour * (luma / own)
    return 1 - (1 - colour) * (1 - luma) / (1 - own)  # towards white keeps the channels in range


def pose_at(scene: Scene, thing: Thing, frame: int) -> Pose:
    """Pose of ``thing`` in ``frame``: the card moved by its own velocity, seen by the moved and
    rolled camera.
    """
    tx, ty, tz = (frame * v for v in scene.camera.velocity)
    roll = frame * scene.camera.roll
    world = [
        (c - 0.5 + frame * v) * thing.depth
        for c, v in zip(thing.centre, thing.velocity, strict=True)
    ]
    seen = np.array([world[0] - tx, world[1] - ty]) / (thing.depth - tz)
    c, s = math.cos(roll), math.sin(roll)
    centre = np.array([c * seen[0] + s * seen[1], -s * seen[0] + c * seen[1]]) + 0.5
    angle = thing.angle + frame * thing.spin - roll
    return Pose(centre, thing.depth / (thing.depth - tz), angle, thing.turn)


def ground_points(scene: Scene, frame: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where the rays through unit-square points hit the ground.

    Args:
        scene, frame: the scene and the number of the frame.
        x, y: (...) float, points of the unit square of that frame (arrays that broadcast).

    Returns:
        World X, world Y and the depth as seen from the camera, (...) each, metres.
    """
    tx, ty, tz = (frame * v for v in scene.camera.velocity)
    roll = frame * scene.camera.roll
    gx, gy, g0 = scene.plane
    c, s = math.cos(roll), math.sin(roll)
    dx = c * (x - 0.5) - s * (y - 0.5)
    dy = s * (x - 0.5) + c * (y - 0.5)
    depth = (1 - gx * tx - gy * ty - g0 * tz) / (gx * dx + gy * dy + g0)
    return tx + depth * dx, ty + depth * dy, depth


def project_ground(
    scene: Scene, frame: int, world_x: np.ndarray, world_y: np.ndarray
) -> np.ndarray:
    """Where points of the ground are seen in ``frame``: (..., 2) unit square, from world X, Y (...)
    in metres.
    """
    tx, ty, tz = (frame * v for v in scene.camera.velocity)
    roll = frame * scene.camera.roll
    gx, gy, g0 = scene.plane
    depth = (1 - gx * world_x - gy * world_y) / g0 - tz
    seen_x, seen_y = (world_x - tx) / depth, (world_y - ty) / depth
    c, s = math.cos(roll), math.sin(roll)
    return np.stack([c * seen_x + s * seen_y + 0.5, -s * seen_x + c * seen_y + 0.5], axis=-1)


def covers(thing: Thing, local_x: np.ndarray, local_y: np.ndarray) -> np.ndarray:
    """Which points (...) of the card's plane, in local coordinates (image widths of frame 0),
    belong to ``thing``.
    """
    wide, high = thing.radius * thing.aspect**0.5, thing.radius * thing.aspect**-0.5
    return inside(thing.kind.shape, local_x / wide, local_y / high)


def surface_at(scene: Scene, frame: int, points: np.ndarray) -> np.ndarray:
    """Which surface is seen at ``points`` (..., 2) of the unit square: (...) uint8, 0 ground, i + 1
    = things[i].
    """
    seen = np.zeros(points.shape[:-1], dtype=np.uint8)
    for number, thing in enumerate(scene.things, start=1):
        m = pose_at(scene, thing, frame).to_local()
        local = points @ m[:, :2].T + m[:, 2]
        seen[covers(thing, local[..., 0], local[..., 1])] = number
    return seen
