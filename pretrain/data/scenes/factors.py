"""Sets of images in which one thing varies and all else stays: what invariance is measured on.

A set shows one object ``STEPS`` times:

- ``occlusion``: other objects, one at a time, hide more and more of it; value: visible share of it.
- ``viewpoint``: it turns about the vertical, as on a turntable, from the front away; value:
  degrees.
- ``illumination_direction``: the light comes from another side; value: degrees on the screen, of
  the direction to the light, 0 right, 90 down.
- ``illumination_colour``: the light goes from blue to red; value: ln(red gain / blue gain).
- ``instance``: it is another object of its class, with other colours, proportions and texture;
  value: its number.

Whatever stays the same within a set and differs between sets makes units invariant, the background
as well. So all sets show their object at the same place, as large as its window allows, on the same
ground and, where the light does not vary, in the same light. What hides an object is another object
in each image. Only the sensor noise is new in every image.
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
from .layout import Scene, Surface, Thing, sample_thing, scene_rng, surface_at
from .render import render_frame
from .textures import TextureSpec

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

_CENTRE = (0.5, 0.5)
_EXTENT = 0.25  # image widths from the centre of an object to the farthest point of its outline
_LEAST_VISIBLE = 0.3  # share of the object in the last image of a set of occlusion
_MOST_TURNED = 75.0  # degrees; at 90 a card would not be seen
_STRENGTH = 0.8  # of a light whose direction varies, nearly the strongest of other scenes
_WARMTH = 0.35  # ln of the gain of red, and of blue with the other sign, at either end
_SUBJECT_DEPTH, _COVER_DEPTH = 1.6, 1.4  # metres: only the order of painting depends on them
_SEARCH = 10  # halvings of the distance of a cover: to a thousandth of it
_STUDIO = Scene(
    things=(),
    ground=Surface(
        texture=TextureSpec("gravel", 1 / 12, 0.0, (0.0, 0.0), 0.0, 0.0, (0.0, 0.0)),
        colours=(np.full(3, 0.35), np.full(3, 0.5)),
        slope=(0.0, 0.0),
        dome=0.0,
        weathering=0.0,
    ),
    plane=(0.0, 0.1, 0.25),
    light=(-0.35, -0.35),
    tint=np.ones(3),
    shadow=0.35,
    noise=3.0,
    noise_seed=0,
)


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
    scene = replace(_STUDIO, noise_seed=int(rng.integers(2**63)))
    scenes, values = _VARY[factor](scene, _sample_subject(kind, rng), rng)
    frames = [render_frame(varied, step, size) for step, varied in enumerate(scenes)]
    side = math.ceil(2 * CROP_CONTEXT * _EXTENT * size)
    corner = (size - side) // 2
    images = [enlarge(frame.image, corner, corner, side=side) for frame in frames]
    return FactorSet(factor, kind, number, images, values)


def as_csv(rows: Iterable[Sequence[str]]) -> str:
    """The table of all images of sets, see ``COLUMNS``; paths are relative to its folder."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def _sample_subject(kind: ObjectClass, rng: np.random.Generator) -> Thing:
    """An object of this class as all sets show theirs."""
    thing = sample_thing(kind, [], rng, False)
    radius = thing.radius * _EXTENT / thing.extent
    return replace(thing, centre=_CENTRE, radius=radius, depth=_SUBJECT_DEPTH)


def _occlude(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    """Objects of other shapes and textures lie over the subject, so that even steps of it are
    visible.
    """
    own = subject.kind
    others = [c for c in CLASSES if c.shape != own.shape and c.texture != own.texture]
    scenes, shares = [], []
    for wanted in np.linspace(1, _LEAST_VISIBLE, STEPS):
        cover = sample_thing(others[rng.integers(len(others))], [], rng, False)
        cover = replace(cover, radius=subject.radius * rng.uniform(1.2, 1.4), depth=_COVER_DEPTH)
        cover, share = _moved_over(subject, cover, wanted, towards=rng.uniform(0, 2 * math.pi))
        scenes.append(replace(scene, things=(subject, cover)))
        shares.append(share)
    return scenes, shares


def _moved_over(
    subject: Thing, cover: Thing, wanted: float, *, towards: float
) -> tuple[Thing, float]:
    """The cover, so near in this direction (radians) that the wanted share of the subject is
    visible, and the share that is.
    """
    near, far = 0.0, subject.extent + cover.extent  # here it does not touch the subject
    for _ in range(_SEARCH):
        middle = (near + far) / 2
        if _visible_share(subject, _at(cover, middle, towards)) < wanted:
            near = middle
        else:
            far = middle
    placed = _at(cover, far, towards)
    return placed, _visible_share(subject, placed)


def _at(cover: Thing, distance: float, towards: float) -> Thing:
    x, y = _CENTRE
    centre = x + distance * math.cos(towards), y + distance * math.sin(towards)
    return replace(cover, centre=centre)


def _visible_share(subject: Thing, cover: Thing, *, cells: int = 64) -> float:
    """Share of the subject that a nearer thing leaves free, on a grid of points."""
    at = _EXTENT * ((np.arange(cells) + 0.5) / cells * 2 - 1)
    points = np.stack(np.meshgrid(at, at), axis=-1) + _CENTRE
    alone = surface_at(replace(_STUDIO, things=(subject,)), 0, points)
    covered = surface_at(replace(_STUDIO, things=(subject, cover)), 0, points)
    return np.count_nonzero(covered == 1) / np.count_nonzero(alone)


def _turn(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    degrees = np.linspace(0, _MOST_TURNED, STEPS).tolist()
    turned = [replace(subject, turn=math.radians(angle)) for angle in degrees]
    return [replace(scene, things=(thing,)) for thing in turned], degrees


def _move_light(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    degrees = (rng.uniform(0, 360) + np.arange(STEPS) * 360 / STEPS) % 360
    scenes = []
    for angle in np.radians(degrees):
        light = _STRENGTH * math.cos(angle), _STRENGTH * math.sin(angle)
        scenes.append(replace(scene, things=(subject,), light=light))
    return scenes, degrees.tolist()


def _tint_light(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    warmth = np.linspace(-_WARMTH, _WARMTH, STEPS)
    gains = np.exp(np.outer(warmth, [1, 0, -1]))
    scenes = [replace(scene, things=(subject,), tint=gain) for gain in gains]
    return scenes, (2 * warmth).tolist()


def _exchange(
    scene: Scene, subject: Thing, rng: np.random.Generator
) -> tuple[list[Scene], list[float]]:
    scenes = []
    for _ in range(STEPS):
        other = _sample_subject(subject.kind, rng)
        scenes.append(replace(scene, things=(replace(other, angle=subject.angle),)))
    return scenes, list(map(float, range(STEPS)))


_VARY = dict(zip(FACTORS, (_occlude, _turn, _move_light, _tint_light, _exchange), strict=True))
