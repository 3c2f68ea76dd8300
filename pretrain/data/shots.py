"""Shots: the pictures, or parts of pictures, that the views of one sample are cut from, and which
view gets which.

Most sources have one shot per sample, the whole image, and need nothing of this file. A source that
shows a part of an image (a box) or several images (two frames of a video) has a method ``shots``,
see :class:`ShotSource`.

The part that a shot shows, its region, is the unit square of the views cut from it, and the squares
of all shots of a sample are identified: equal coordinates mean the same place. Whether they do show
the same place is the source's business (see ``pretrain.data.frames``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from pretrain.data.decode import DecodeError
from pretrain.data.sources import Source
from pretrain.structures import Photometric, Views
from pretrain.views.crop import decode_scale

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shot:
    """One picture of a sample.

    Attributes:
        name: What to call it in messages, usually its path.
        read: Returns the encoded bytes; called only if a view is cut from this shot. Raises
            OSError.
        box: ``(x1, y1, x2, y2)`` of the region in the unit square of the upright image; None: the
            whole image.
        number: The file's own number, where several samples show one file, so that it counts as one
            if it is unreadable; None: the sample's.
        size: ``(H, W)`` in pixels of the upright image in which the box was drawn, see
            :func:`check_size`; None: any.
    """

    name: str
    read: Callable[[], bytes]
    box: Box | None = None
    number: int | None = None
    size: tuple[float, float] | None = None


class WrongSize(DecodeError):
    """A file has another shape than the image that its boxes were drawn in."""


def check_size(drawn: tuple[float, float], found: tuple[int, int]) -> None:
    """Checks that boxes drawn in an image of one size fit a file of another; a mere change of scale
    does no harm.

    Args:
        drawn: (H, W) in pixels. found: (H, W) of the upright file; each side may be a pixel off
            what scaling gives.

    Raises:
        WrongSize: the shapes differ.
    """
    (height, width), (rows, columns) = drawn, found
    if abs(width * rows - height * columns) > height + width:
        turned = (rows, columns) == (width, height)
        cause = ": the size before the EXIF turn" if turned else ""
        raise WrongSize(
            f"boxes were drawn in an image of {width:g} × {height:g} px{cause}, but upright the "
            f"file has {columns} × {rows}; they would be shifted. Write sizes and boxes of the "
            "upright image"
        )


@runtime_checkable
class ShotSource(Protocol):
    """A source whose samples are not simply whole images. ``read`` and ``name`` still give its
    first image.
    """

    def shots(self, index: int, rng: np.random.Generator) -> tuple[Shot, ...]:
        """The shots of sample ``index``, at least one; what is random about them is drawn from
        ``rng``.
        """


def shots_of(source: Source, index: int, rng: np.random.Generator) -> tuple[Shot, ...]:
    """Returns the shots of a sample; of a source without ``shots`` the whole image, and nothing is
    drawn.
    """
    if isinstance(source, ShotSource):
        return source.shots(index, rng)
    return (Shot(source.name(index), lambda: source.read(index)),)


def widened(box: Box, margin: float) -> Box:
    """Returns a box grown by ``margin`` of its width and height on each side, cut off at the unit
    square.
    """
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    return max(0.0, x1 - dx), max(0.0, y1 - dy), min(1.0, x2 + dx), min(1.0, y2 + dy)


@dataclass(frozen=True)
class PixelBox:
    """A shot's region in whole pixels of the full-size upright image.

    Attributes:
        image: (H, W) of the whole image. top, left, height, width: of the region.
    """

    image: tuple[int, int]
    top: int
    left: int
    height: int
    width: int

    @staticmethod
    def of(box: Box | None, image: tuple[int, int]) -> PixelBox:
        """Rounds a box to whole pixels, at least one; None is the whole image."""
        height, width = image
        if box is None:
            return PixelBox(image, 0, 0, height, width)
        left, right = _rounded(box[0], box[2], width)
        top, bottom = _rounded(box[1], box[3], height)
        return PixelBox(image, top, left, bottom - top, right - left)

    def decode_size(self, region: tuple[int, int]) -> tuple[int, int]:
        """Returns the smallest (h, w) of the whole image whose region has at least the size
        ``region``.
        """
        if (self.height, self.width) == self.image:
            return region
        need = max(region[0] / self.height, region[1] / self.width)
        return min(math.ceil(self.image[0] * need), self.image[0]), min(
            math.ceil(self.image[1] * need), self.image[1]
        )

    def cut(self, decoded: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """Cuts the region out of a decoded image that may be scaled down.

        Args:
            decoded: (H', W', 3), the whole image at full size or as JPEG decoders scale it.

        Returns:
            The region, as large as the decoder would have made it were it a file of its own, and by
            how much it lies further right and down than it should, in units of its width and
            height: at most half a decoded pixel (a whole one at the image's edge), 0 at full size.
        """
        scale_y, scale_x = decode_scale(self.image, decoded.shape[:2])
        top, height = _snapped(self.top, self.height, scale_y, self.image[0], decoded.shape[0])
        left, width = _snapped(self.left, self.width, scale_x, self.image[1], decoded.shape[1])
        shift = (
            (left / scale_x - self.left) / self.width,
            (top / scale_y - self.top) / self.height,
        )
        return decoded[top : top + height, left : left + width], shift


def _rounded(low: float, high: float, size: int) -> tuple[int, int]:
    """Returns (first, end) in whole pixels inside the image, at least one of them."""
    first = min(max(round(low * size), 0), size - 1)
    return first, min(max(round(high * size), first + 1), size)


def _snapped(start: int, length: int, scale: float, image: int, decoded: int) -> tuple[int, int]:
    """Returns (first, length) in decoded pixels; none that views use lies partly outside the image."""
    count = math.ceil(length * scale)
    last = min(decoded - count, math.floor(image * scale) - math.floor(length * scale))
    return min(round(start * scale), last), count


class Plan(Protocol):
    """The drawn parameters of one sample's views."""

    @property
    def min_decode_size(self) -> tuple[int, int]:
        """Smallest (height, width) of the decoded image that loses nothing in any crop."""


class Recipe(Protocol):
    """What the data set needs of a view recipe (``pretrain.views.recipe.ViewRecipe``).

    Attributes:
        specs: group name -> the settings of its views; the class takes them as its argument
            ``groups``, too.
    """

    specs: dict[str, tuple[Any, ...]]

    def plan(self, height: int, width: int, rng: np.random.Generator) -> Plan:
        """Draws crops and photometrics for an upright image of this size."""

    def render(
        self, image: np.ndarray, plan: Plan, *, photometrics: bool = False
    ) -> dict[str, Views]:
        """Cuts the views, without axis B, from (H, W, 3) uint8, which may be a scaled decode."""


@dataclass(frozen=True)
class Part:
    """The views that one shot gives.

    Attributes:
        shot: number of the shot.
        recipe: makes these views alone.
        places: group name -> which views of the whole recipe's group they are.
    """

    shot: int
    recipe: Recipe
    places: dict[str, tuple[int, ...]]


def deal_views(recipe: Recipe, shots: int) -> tuple[Part, ...]:
    """Deals the views out: view v of each group to shot v mod ``shots``, a view within another view
    to that one's shot.

    Shots that get no view are left out.
    """
    if shots == 1:
        return (
            Part(
                0, recipe, {name: tuple(range(len(specs))) for name, specs in recipe.specs.items()}
            ),
        )
    parts = []
    for shot in range(shots):
        places = {
            name: tuple(v for v, spec in enumerate(specs) if _shot(v, spec, shots) == shot)
            for name, specs in recipe.specs.items()
        }
        places = {name: chosen for name, chosen in places.items() if chosen}
        if places:
            groups = {
                name: [recipe.specs[name][v] for v in chosen] for name, chosen in places.items()
            }
            parts.append(Part(shot, type(recipe)(groups), places))
    return tuple(parts)


def _shot(view: int, spec: Any, shots: int) -> int:
    """Returns the shot of a view; a group that others lie within has one view, which is cut from
    shot 0.
    """
    return view % shots if spec.within is None else 0


def join_views(parts: tuple[Part, ...], made: list[dict[str, Views]]) -> dict[str, Views]:
    """Puts the views of all parts in the whole recipe's order."""
    if len(parts) == 1:
        return made[0]
    merged = {}
    for name in dict.fromkeys(name for part in parts for name in part.places):
        owners = [
            (part.places[name], views[name])
            for part, views in zip(parts, made, strict=True)
            if name in views
        ]
        order = torch.argsort(torch.tensor([place for places, _ in owners for place in places]))
        merged[name] = Views(
            torch.cat([views.images for _, views in owners])[order],
            torch.cat([views.geometry for _, views in owners])[order],
            _joined([views.photometric for _, views in owners], order),
        )
    return merged


def _joined(items: list[Photometric | None], order: torch.Tensor) -> Photometric | None:
    """Returns the parameters of all views in ``order``; None if they are applied already."""
    if items[0] is None:
        return None
    return Photometric(
        **{
            f.name: torch.cat([getattr(i, f.name) for i in items])[order]
            for f in fields(Photometric)
        }
    )
