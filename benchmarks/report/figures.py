"""Figures of result pages: each declares itself beside its drawing, pages list what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.report.runs import Run
from benchmarks.report.statistics.ranking import Ranking


@dataclass(frozen=True)
class Sources:
    """What a page has to draw from; a figure takes what it needs.

    Attributes:
        arms: names in the order of the plan, which gives each its colour.
        networks: name -> spec of :meth:`FeatureExtractor.load`.
        images: reads images to show to networks, (B, 3, H, W) uint8 RGB; None: there are none.
        upsamplers: specs of :func:`load_upsampler`.
        curves: arm -> the files ``curve.csv`` of its seeds.
        evaluations: arm -> the files ``evaluations.jsonl`` of its seeds, see ``EvaluationHook``.
        recipes: arm -> resolved config of a training.
        rankings: column -> what may be said of its arms, the primary one first.
        runs: arm -> its records.
        costs: a dict per trial: ``arm`` and what it cost.
        scored: reads an image that the primary benchmark scores, by its number: (H, W, 3) uint8.
        weights: ``online`` or ``target``, of our checkpoints.
        device: where networks run.
    """

    arms: Sequence[str] = ()
    networks: Mapping[str, str] = field(default_factory=dict)
    images: Callable[[], Tensor] | None = None
    upsamplers: Sequence[str] = ()
    curves: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    evaluations: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    recipes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    rankings: Mapping[str, Ranking] = field(default_factory=dict)
    runs: Mapping[str, Sequence[Run]] = field(default_factory=dict)
    costs: Sequence[Mapping[str, Any]] = ()
    scored: Callable[[int], np.ndarray] | None = None
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
        draw: writes one sheet: called with what ``gather`` returned for it and the path of a file.
        title: heading on the page.
        section: of the page: ``results``, ``training`` or ``features``.
        form: ``svg`` for plots, ``png`` for photos.
    """

    name: str
    caption: str
    gather: Callable[[Sources], Mapping[str, Any]]
    draw: Callable[[Any, Path], object]
    title: str = ""
    section: str = "features"
    form: str = "png"


def declared_figures(benchmarks: Iterable[Benchmark]) -> list[Figure]:
    """The figures that benchmarks bring along, each once."""
    figures: dict[Figure, None] = {}
    for benchmark in benchmarks:
        figures |= dict.fromkeys(benchmark.figures)
    return list(figures)


@dataclass(frozen=True)
class Picture:
    """A sheet that was drawn.

    Attributes:
        file: below the page's folder.
        figure: what it is a sheet of.
        sheet: its title; empty where it is the only one.
    """

    file: str
    figure: Figure
    sheet: str = ""

    @property
    def caption(self) -> str:
        """The figure's, after the sheet's title."""
        return f"{self.sheet}: {self.figure.caption}" if self.sheet else self.figure.caption


def draw_figures(
    figures: Sequence[Figure], sources: Sources, folder: Path, *, console: Console
) -> list[Picture]:
    """Draws what can be drawn. A figure that fails is left out with a message, since no number
    depends on it.

    Args:
        figures: in the page's order.
        sources: what they draw from.
        folder: of the page; files go to ``pictures`` below it.
        console: for messages.
    """
    pictures: list[Picture] = []
    for figure in figures:
        try:
            with console.status(f"drawing {figure.name}"):
                pictures += _sheets(figure, sources, folder)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            console.print(f"picture {figure.name} left out: {reason}", markup=False, soft_wrap=True)
    return pictures


def _sheets(figure: Figure, sources: Sources, folder: Path) -> list[Picture]:
    sheets = []
    for number, (title, inputs) in enumerate(figure.gather(sources).items()):
        place = f"_{number}" if title else ""
        file = f"pictures/{figure.name}{place}.{figure.form}"
        figure.draw(inputs, folder / file)
        sheets.append(Picture(file, figure, title))
    return sheets
