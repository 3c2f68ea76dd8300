"""What readers of image sets return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FACTORS = (
    "occlusion",
    "viewpoint",
    "illumination_direction",
    "illumination_colour",
    "instance",
    "instance_viewpoint",
)

Corners = tuple[float, float, float, float]


@dataclass(frozen=True)
class Shown:
    """What is shown to networks: an image, or a box of one.

    Attributes:
        path: of the image.
        box: x1, y1, x2, y2 in pixels of the upright image, its corner at (0, 0); None: the whole
            image.
    """

    path: Path
    box: Corners | None = None


@dataclass(frozen=True)
class ImageSet:
    """Images of one object, or of one kind of object, between which one factor varies.

    Attributes:
        factor: one of ``FACTORS``.
        label: name of the object's class.
        images: what is shown.
    """

    factor: str
    label: str
    images: tuple[Shown, ...]
