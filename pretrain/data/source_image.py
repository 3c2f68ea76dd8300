"""Source images: the images, or regions of images, that the views of one sample are cut from.

Most sources have one per sample, the whole image, and need nothing of this file. A source that
shows a region of an image (a box) or several images (two frames of a video) has a method
``source_images``, see :class:`RegionSource`.

A source image's region is the unit square of the views cut from it, and the squares of all source
images of a sample are identified: equal coordinates mean the same place. Whether they do show the
same place is the source's business (see ``pretrain.data.frames``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from pretrain.data.decode import DecodeError
from pretrain.data.sources import Source

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class SourceImage:
    """One image of a sample, or a region of one.

    Attributes:
        name: What to call it in messages, usually its path.
        read: Returns the encoded bytes; called only if a view is cut from this image. Raises
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


def check_size(drawn: tuple[float, float], decoded: tuple[int, int]) -> None:
    """Checks that boxes drawn in an image of one size fit a file of another; a mere change of scale
    does no harm.

    Args:
        drawn: (H, W) in pixels. decoded: (H, W) of the upright file; each side may be a pixel off
            what scaling gives.

    Raises:
        WrongSize: the shapes differ.
    """
    (height, width), (rows, columns) = drawn, decoded
    if abs(width * rows - height * columns) > height + width:
        turned = (rows, columns) == (width, height)
        cause = ": the size before the EXIF turn" if turned else ""
        raise WrongSize(
            f"boxes were drawn in an image of {width:g} × {height:g} px{cause}, but upright the "
            f"file has {columns} × {rows}; they would be shifted. Write sizes and boxes of the "
            "upright image"
        )


@runtime_checkable
class RegionSource(Protocol):
    """A source whose samples are not simply whole images: regions of images, or several images.
    ``read`` and ``name`` still give its first image.
    """

    def source_images(self, index: int, rng: np.random.Generator) -> tuple[SourceImage, ...]:
        """The source images of sample ``index``, at least one; what is random about them is drawn
        from ``rng``.
        """


def source_images_of(
    source: Source, index: int, rng: np.random.Generator
) -> tuple[SourceImage, ...]:
    """Returns a sample's source images; of a plain source the whole image, drawing nothing."""
    if isinstance(source, RegionSource):
        return source.source_images(index, rng)
    return (SourceImage(source.name(index), lambda: source.read(index)),)


def widened(box: Box, margin: float) -> Box:
    """Returns a box grown by ``margin`` of its sides in each direction, within the unit square."""
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    return max(0.0, x1 - dx), max(0.0, y1 - dy), min(1.0, x2 + dx), min(1.0, y2 + dy)
