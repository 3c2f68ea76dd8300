"""Files inside pages: photos as they look, plots that follow the theme and know their arms."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from benchmarks.report.figures import Figure, Picture
from benchmarks.report.inline import inline_picture, picture_groups
from benchmarks.report.pictures.figure import (
    COLOURS,
    looks,
    name_arms,
    new_figure,
    plain_axes,
    save_figure,
)


def plot(path: Path) -> Path:
    """Two arms, of which one has a name that XML must escape."""
    figure = new_figure(3, 2)
    axes, styles = figure.subplots(), looks(["a", "b<&"])
    plain_axes(axes, title="heights", x="x", y="y")
    for arm, look in styles.items():
        axes.plot([0, 1], [0, 1], color=look.colour, marker=look.marker, gid=f"arm:{arm}")
    name_arms(figure, styles)
    return save_figure(figure, path)


def test_looks_of_many_arms_are_all_different() -> None:
    styles = looks(map(str, range(56)))
    assert len({(look.colour, look.marker) for look in styles.values()}) == 56
    assert styles["8"].colour == styles["0"].colour and styles["8"].dash != styles["0"].dash


def test_a_plot_is_text_that_follows_the_theme(tmp_path: Path) -> None:
    path = plot(tmp_path / "plot.svg")
    drawing = inline_picture(path, 'say "x"')
    assert drawing.startswith('<svg role="img" aria-label="say &quot;x&quot;"')
    assert ">heights<" in drawing and "currentColor" in drawing and "var(--arm-1)" in drawing
    assert not any(colour in drawing.lower() for colour in COLOURS[:2])
    assert "var(--arm-1)" not in path.read_text()  # the file by itself keeps its colours
    root = ElementTree.fromstring(str(drawing))
    assert {part.get("data-arm") for part in root.iter() if part.get("data-arm")} == {"a", "b<&"}
    groups = [part for part in root.iter() if part.tag.endswith("}g")]
    assert groups and not any(group.get("id") for group in groups)


def test_plots_are_the_same_when_drawn_again_and_share_no_names(tmp_path: Path) -> None:
    first, again = plot(tmp_path / "one.svg").read_text(), plot(tmp_path / "one.svg").read_text()
    assert first == again
    other = inline_picture(plot(tmp_path / "two.svg"), "")
    names = [set(re.findall(r'\sid="([^"]+)"', str(text))) for text in (first, other)]
    assert not names[0] & names[1]


def test_a_photo_stays_the_photo(tmp_path: Path) -> None:
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = (200, 40, 40)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    element = inline_picture(tmp_path / "photo.png", "a & b")
    assert 'width="30" height="20"' in element and 'alt="a &amp; b"' in element
    data = base64.b64decode(re.search(r"base64,([^\"]+)", element)[1])
    with Image.open(io.BytesIO(data)) as image:
        shown = np.array(image.convert("RGB")).astype(int)
    assert np.abs(shown - pixels)[:, [5, 25]].mean() < 12


def test_sheets_of_a_figure_stand_together(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    many, one = (
        Figure(name, "", lambda sources: {}, print, section=section)
        for name, section in (("many", "results"), ("one", "training"))
    )
    pictures = [Picture("x.png", many, "a"), Picture("x.png", many, "b"), Picture("x.png", one)]
    sections = picture_groups(pictures, tmp_path)
    assert list(sections) == ["results", "training"]
    (group,) = sections["results"]
    assert group.figure is many and [sheet.sheet for sheet, _ in group.sheets] == ["a", "b"]
