"""One picture of all corruptions: a row per corruption, the original and the five severities as
columns.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.data.loading import centre_crop
from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt, generator
from pretrain.data.decode import decode_file
from pretrain.files import atomic_path

# Pixels: between pictures, for the names on the left, for the severities above.
_GAP, _LABEL, _HEAD = 3, 118, 18


def contact_sheet(
    path: str | Path, size: int = 224, *, shown: int | None = None, seed: int = 0
) -> Image.Image:
    """Draws every corruption of the central square of an image.

    Args:
        path: The image file.
        size: Side of the square that is corrupted, pixels.
        shown: Side at which each picture stands in the sheet; None: ``size``.
        seed: Of what is drawn.

    Raises:
        ValueError: ``size`` or ``shown`` below 1, or the file is no image.
        FileNotFoundError: no such file.
    """
    for name, side in (("size", size), ("shown", shown)):
        if side is not None and side < 1:
            raise ValueError(f"{name}={side} must be at least 1, in pixels")
    image = centre_crop(decode_file(path), size, 1.0)
    side = shown or size
    step = side + _GAP
    sheet = Image.new("RGB", (_LABEL + 6 * step, _HEAD + len(CORRUPTIONS) * step), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    titles = ("original", *map("severity {}".format, SEVERITIES))
    for column, title in enumerate(titles):
        draw.text((_LABEL + column * step + side / 2, 3), title, "black", font, anchor="ma")
    for row, name in enumerate(CORRUPTIONS):
        top = _HEAD + row * step
        draw.text((_LABEL - 6, top + side / 2), name, "black", font, anchor="rm")
        pictures = [image]
        for severity in SEVERITIES:
            draws = generator(seed, Path(path).name, name, severity)
            pictures.append(corrupt(image, name, severity, draws))
        for column, picture in enumerate(pictures):
            sheet.paste(_resized(picture, side), (_LABEL + column * step, top))
    return sheet


def write_sheet(sheet: Image.Image, path: str | Path) -> None:
    """Writes the sheet atomically; the suffix tells the format."""
    with atomic_path(path) as temporary:
        sheet.save(temporary)


def _resized(picture: np.ndarray, side: int) -> Image.Image:
    return Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
