"""Files inside a page: photos as data URIs, plots as SVG that follows the page's theme and hides
arms with its table.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from benchmarks.report.figures import Figure, Picture
from benchmarks.report.pictures.figure import ARM, COLOURS, INK, PAPER, RULE

_THEME = {INK: "currentColor", RULE: "var(--rule)", PAPER: "none"}
for _number, _colour in enumerate(COLOURS):
    _THEME[_colour] = f"var(--arm-{_number})"
_COLOUR = re.compile("|".join(_THEME), re.IGNORECASE)
_GROUP = re.compile(r'<g id="([^"]*)"')


def inline_picture(path: Path, alternative: str) -> Markup:
    """An ``img`` or ``svg`` element. Photos become WebP, a tenth of a PNG; the file stays as it is.

    Args:
        path: a PNG or an SVG of :func:`benchmarks.report.pictures.figure.save_figure`.
        alternative: what is read aloud instead.
    """
    text = html.escape(alternative)
    if path.suffix != ".svg":
        packed = io.BytesIO()
        with Image.open(path) as image:
            width, height = image.size
            image.convert("RGB").save(packed, "WEBP", quality=90)
        data = base64.b64encode(packed.getvalue()).decode()
        size = f'width="{width}" height="{height}"'
        return Markup(f'<img src="data:image/webp;base64,{data}" {size} alt="{text}">')
    drawing = path.read_text(encoding="utf-8")
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, count=1, flags=re.DOTALL)
    drawing = _GROUP.sub(_group, drawing)
    drawing = _COLOUR.sub(lambda match: _THEME[match[0].lower()], drawing)
    opening = f'<svg role="img" aria-label="{text}" '
    return Markup(opening + drawing.removeprefix("<svg").lstrip())


def _group(match: re.Match[str]) -> str:
    """Names of groups are unique in a drawing, not on a page: only those of arms stay, as data."""
    name = match[1]
    return f'<g data-arm="{name.removeprefix(ARM)}"' if name.startswith(ARM) else "<g"


@dataclass(frozen=True)
class PictureGroup:
    """A figure and its sheets, each with the element that shows it."""

    figure: Figure
    sheets: list[tuple[Picture, Markup]]


def picture_groups(pictures: Sequence[Picture], folder: Path) -> dict[str, list[PictureGroup]]:
    """Section of a page -> its figures.

    Args:
        pictures: in the page's order; sheets of a figure stand together.
        folder: of the page.
    """
    sections: dict[str, list[PictureGroup]] = {}
    for picture in pictures:
        groups = sections.setdefault(picture.figure.section, [])
        if not groups or groups[-1].figure is not picture.figure:
            groups.append(PictureGroup(picture.figure, []))
        element = inline_picture(folder / picture.file, picture.caption)
        groups[-1].sheets.append((picture, element))
    return sections
