"""Figures of result pages: each declares itself beside its drawing, pages list what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import Tensor


@dataclass(frozen=True)
class Sources:
    """What a page has to draw from; a figure takes what it needs.

    Attributes:
        networks: name -> spec of :meth:`FeatureExtractor.load`.
        images: reads images to show to networks, (B, 3, H, W) uint8 RGB; None: there are none.
        upsamplers: specs of :func:`load_upsampler`.
        curves: arm -> the files ``curve.csv`` of its seeds.
        recipes: arm -> resolved config of a training.
        weights: ``online`` or ``target``, of our checkpoints.
        device: where networks run.
    """

    networks: Mapping[str, str] = field(default_factory=dict)
    images: Callable[[], Tensor] | None = None
    upsamplers: Sequence[str] = ()
    curves: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    recipes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    weights: str = "online"
    device: str = "cpu"


@dataclass(frozen=True)
class Figure:
    """A figure of a page.

    Attributes:
        name: of its file, without ending.
        caption: what one sees and how to read it.
        gather: returns from the sources what each sheet needs, by the sheet's title; a single
            sheet has the title ``""``. Empty: there is nothing to draw.
        draw: writes one sheet: called with what ``gather`` returned for it and the path of a PNG.
    """

    name: str
    caption: str
    gather: Callable[[Sources], Mapping[str, Any]]
    draw: Callable[[Any, Path], object]


def draw_figures(
    figures: Sequence[Figure], sources: Sources, folder: Path, *, console: Console
) -> list[tuple[str, str]]:
    """Draws what can be drawn. A figure that fails is left out with a message, since no number
    depends on it.

    Args:
        figures: in the page's order.
        sources: what they draw from.
        folder: of the page; files go to ``pictures`` below it.
        console: for messages.

    Returns:
        (file below the folder, caption) of each sheet.
    """
    pictures: list[tuple[str, str]] = []
    for figure in figures:
        try:
            with console.status(f"drawing {figure.name}"):
                pictures += _sheets(figure, sources, folder)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            console.print(f"picture {figure.name} left out: {reason}", markup=False, soft_wrap=True)
    return pictures


def _sheets(figure: Figure, sources: Sources, folder: Path) -> list[tuple[str, str]]:
    sheets = []
    for number, (title, inputs) in enumerate(figure.gather(sources).items()):
        file = f"pictures/{figure.name}_{number}.png" if title else f"pictures/{figure.name}.png"
        figure.draw(inputs, folder / file)
        sheets.append((file, f"{title}: {figure.caption}" if title else figure.caption))
    return sheets
