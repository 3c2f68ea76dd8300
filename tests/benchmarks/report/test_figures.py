"""Figures of pages: drawn from what is there; one that fails takes none of the others with it."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from benchmarks.report.figures import Figure, Sources, draw_figures


def fail(*_: object) -> None:
    raise OSError("no space left")


def test_figures_with_sources_are_drawn_and_broken_ones_are_named(tmp_path: Path) -> None:
    drawn = []

    def draw(inputs: object, path: Path) -> None:
        drawn.append((inputs, path.relative_to(tmp_path).as_posix()))

    figures = (
        Figure("one", "a sheet", lambda sources: {"": sources.device}, draw, form="svg"),
        Figure("none", "nothing there", lambda sources: {}, fail),
        Figure("broken", "fails", lambda sources: {"": 1}, fail),
        Figure("unread", "its inputs fail", fail, draw),
        Figure("many", "a sheet each", lambda sources: sources.networks, draw),
    )
    sources = Sources(networks={"a": "a.pth", "b": "b.pth"}, device="cpu")
    out = io.StringIO()
    pictures = draw_figures(figures, sources, tmp_path, console=Console(file=out, width=80))
    assert [(picture.file, picture.caption) for picture in pictures] == [
        ("pictures/one.svg", "a sheet"),
        ("pictures/many_0.png", "a: a sheet each"),
        ("pictures/many_1.png", "b: a sheet each"),
    ]
    assert drawn == [
        ("cpu", "pictures/one.svg"),
        ("a.pth", "pictures/many_0.png"),
        ("b.pth", "pictures/many_1.png"),
    ]
    text = out.getvalue()
    for name in ("broken", "unread"):
        assert f"picture {name} left out: OSError: no space left" in text
