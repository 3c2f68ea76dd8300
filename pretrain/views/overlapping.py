"""Crops that share a region with views drawn before them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pretrain.views.crop import Crop

TRIES = 20  # crops drawn for one view, whether needed or not


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What a view must share with those of a group.

    Attributes:
        group: name of the group; with its own group a view is compared with those before it.
        share: least share of the area, in (0, 1].
        of: whose area: ``image`` (NeCo: 0.01 with each global view, 0.02 between these), or
            ``crop``, this view's own (PaKA: 0.9 of a local view within its global one).
        view: which view of the group; None = each of them.
    """

    group: str
    share: float
    of: Literal["image", "crop"] = "image"
    view: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"overlap.share={self.share!r}: must be within (0, 1]")

    def holds(self, crop: Crop, partners: Sequence[Crop], source: tuple[int, int]) -> bool:
        """Tells whether a crop shares enough with each partner; ``source``: (H, W) in pixels."""
        area = source[0] * source[1] if self.of == "image" else crop.height * crop.width
        return all(shared_area(crop, other) >= self.share * area for other in partners)


def draw_overlapping(
    overlap: Overlap,
    partners: Sequence[Crop],
    *,
    source: tuple[int, int],
    draw: Callable[[], Crop],
) -> Crop:
    """Returns the first of :data:`TRIES` crops that shares enough; where none does, the first one
    moved, and cut if it is larger, into what all partners share.

    All tries are drawn, so what follows in the random stream does not depend on their outcome.
    """
    crops = [draw() for _ in range(TRIES)]
    for crop in crops:
        if overlap.holds(crop, partners, source):
            return crop
    return _moved_into(crops[0], _common(partners))


def shared_area(one: Crop, other: Crop) -> int:
    """Returns the pixels that two crops share."""
    rows = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    columns = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    return max(rows, 0) * max(columns, 0)


def _common(partners: Sequence[Crop]) -> Crop:
    """What all crops share; where that is nothing, the first one."""
    first, *others = partners
    top, left = first.top, first.left
    bottom, right = first.top + first.height, first.left + first.width
    for other in others:
        top, left = max(top, other.top), max(left, other.left)
        bottom = min(bottom, other.top + other.height)
        right = min(right, other.left + other.width)
    if bottom <= top or right <= left:
        return first
    return Crop(top, left, bottom - top, right - left)


def _moved_into(crop: Crop, frame: Crop) -> Crop:
    height, width = min(crop.height, frame.height), min(crop.width, frame.width)
    top = min(max(crop.top, frame.top), frame.top + frame.height - height)
    left = min(max(crop.left, frame.left), frame.left + frame.width - width)
    return replace(crop, top=top, left=left, height=height, width=width)
