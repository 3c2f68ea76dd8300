"""Sets of images in which one thing varies and all else stays: what invariance is measured on.

A set shows one object of a scene, in the middle and in front of all others, ``STEPS`` times:

- ``occlusion``: an object of another shape and texture moves over it; value: visible share of it.
- ``viewpoint``: it turns about the vertical, as on a turntable, from the front away; value:
  degrees.
- ``illumination_direction``: the light comes from another side; value: degrees on the screen, of
  the direction to the light, 0 right, 90 down.
- ``illumination_colour``: the light goes from blue to red; value: ln(red gain / blue gain) against
  the scene's own light.
- ``instance``: it is another object of its class, with other colours, proportions and texture;
  value: its number.

Only the sensor noise is another one in each image. Images are squares around the object with some
context, as the crops of the data set are.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .annotations import CROP_CONTEXT, enlarge
from .classes import CLASSES, ObjectClass
from .layout import Scene, Thing, sample_surface, sample_thing, scene_rng, surface_at, surround
from .render import render_frame

FACTORS = (
    "occlusion",
    "viewpoint",
    "illumination_direction",
    "illumination_colour",
    "instance",
)
STEPS = 8  # images of a set
FACTOR_TABLE = "factors/factors.csv"
COLUMNS = ("image", "factor", "class", "set", "value")

_LEAST_VISIBLE = 0.3  # share of the object in the last image of a set of occlusion
_MOST_TURNED = 75.0  # degrees; at 90 a card would not be seen
_STRENGTH = (0.5, 0.9)  # of a light whose direction shows
_WARMTH = 0.35  # ln of the gain of red, and of blue with the other sign, at either end
# Metres, in front of all others (1.2 to 2.2): only the order of painting depends on them.
_SUBJECT_DEPTH, _COVER_DEPTH = 1.15, 1.1


@dataclass(frozen=True)
class FactorSet:
    """One set.

    Attributes:
        factor: that varies. kind: of the object.
        number: among the sets of this factor and class.
        images: ``STEPS`` of (S, S, 3) uint8 RGB.
        values: of the factor, one for each image.
    """

    factor: str
    kind: ObjectClass
    number: int
    images: list[np.ndarray]
    values: list[float]


def draw_set(seed: int, index: int, size: int) -> FactorSet:
    """Draws set ``index`` at ``size`` pixels; it depends on nothing but the arguments.

    Sets are numbered by number, factor and class, so that more sets of each follow the earlier
    ones. Cost: ``STEPS`` frames.
    """
    number, place = divmod(index, len(FACTORS) * len(CLASSES))
    factor, kind = FACTORS[place // len(CLASSES)], CLASSES[place % len(CLASSES)]
    rng = scene_rng(seed, "val", "set", index)
    scene, subject = _sample_subject(kind, rng)
    scenes, values = _VARY[factor](scene, subject, rng)
    frames = [render_frame(varied, step, size) for step, varied in enumerate(scenes)]
    left, top, side = _window(subject, size)
    images = [enlarge(frame.image, left, top, side=side) for frame in frames]
    return FactorSet(factor, kind, number, images, values)


def as_csv(rows: Iterable[Sequence[str]]) -> str:
    """The table of all images of sets, see ``COLUMNS``; paths are relative to its folder."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def _sample_subject(kind: ObjectClass, rng: np.random.Generator) -> tuple[Scene, Thing]:
    """A scene with an object of this class in front, near the middle, and the object."""
    centre = tuple(rng.uniform(0.45, 0.55, 2))
    subject = replace(sample_thing(kind, [], rng, False), centre=centre, depth=_SUBJECT_DEPTH)
    things, others = [subject], [other for other in CLASSES if other is not kind]
    for place in rng.permutation(len(others))[: rng.integers(3, 7)]:
        other = sample_thing(others[place], things, rng, False)
        if other is not None:
            things.append(other)
    return surround(things, rng), subject


def _with_subject(scene: Scene, subject: Thing) -> Scene:
    """The scene with its foremost thing replaced."""
    return replace(scene, things=(*scene.things[:-1], subject))


def _occlude(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    """An object moves from beside the subject over it, to even steps of the visible share."""
    own = subject.kind
    others = [c for c in CLASSES if c.shape != own.shape and c.texture != own.texture]
    cover = sample_thing(others[rng.integers(len(others))], [], rng, False)
    cover = replace(cover, radius=subject.radius * rng.uniform(1.2, 1.4), depth=_COVER_DEPTH)
    towards = rng.uniform(0, 2 * math.pi)
    step = np.array([math.cos(towards), math.sin(towards)])
    places = np.array(subject.centre) + np.outer(
        np.linspace(subject.extent + cover.extent, 0, 65), step
    )
    covers = [replace(cover, centre=tuple(place)) for place in places]
    shares = np.array([_visible_share(scene, subject, moved) for moved in covers])
    wanted = np.linspace(1, _LEAST_VISIBLE, STEPS)
    chosen = np.abs(shares - wanted[:, None]).argmin(1).tolist()
    scenes = [replace(scene, things=(*scene.things, covers[place])) for place in chosen]
    return scenes, shares[chosen].tolist()


def _visible_share(scene: Scene, subject: Thing, cover: Thing, *, cells: int = 64) -> float:
    """Share of the subject that a nearer thing leaves free, on a grid of points."""
    at = (np.arange(cells) + 0.5) / cells * 2 - 1
    points = np.stack(np.meshgrid(at, at), axis=-1) * subject.extent + subject.centre
    alone = surface_at(replace(scene, things=(subject,)), 0, points)
    covered = surface_at(replace(scene, things=(subject, cover)), 0, points)
    return np.count_nonzero(covered == 1) / np.count_nonzero(alone)


def _turn(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    degrees = np.linspace(0, _MOST_TURNED, STEPS).tolist()
    turned = [replace(subject, turn=math.radians(angle)) for angle in degrees]
    return [_with_subject(scene, thing) for thing in turned], degrees


def _move_light(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    strength, first = rng.uniform(*_STRENGTH), rng.uniform(0, 360)
    degrees = (first + np.arange(STEPS) * 360 / STEPS) % 360
    scenes = []
    for angle in np.radians(degrees):
        light = strength * math.cos(angle), strength * math.sin(angle)
        scenes.append(replace(scene, light=light))
    return scenes, degrees.tolist()


def _tint_light(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    warmth = np.linspace(-_WARMTH, _WARMTH, STEPS)
    gains = np.exp(np.outer(warmth, [1, 0, -1]))
    return [replace(scene, tint=scene.tint * gain) for gain in gains], (2 * warmth).tolist()


def _exchange(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    scenes = []
    for _ in range(STEPS):
        aspect = math.exp(rng.uniform(-0.2, 0.2))
        surface = sample_surface(subject.kind.texture, rng)
        scenes.append(_with_subject(scene, replace(subject, aspect=aspect, surface=surface)))
    return scenes, list(map(float, range(STEPS)))


_VARY = dict(zip(FACTORS, (_occlude, _turn, _move_light, _tint_light, _exchange), strict=True))


def _window(subject: Thing, size: int) -> tuple[int, int, int]:
    """Left, top and side, in pixels, of the square around the subject at its widest."""
    side = min(size, math.ceil(2 * CROP_CONTEXT * subject.extent * size))
    left, top = (min(max(round(c * size - side / 2), 0), size - side) for c in subject.centre)
    return left, top, side
