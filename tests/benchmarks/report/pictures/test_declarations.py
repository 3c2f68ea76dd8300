"""The figures of pages: what each needs, and that it is drawn from that alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import Tensor

from benchmarks.evaluate.suite import BENCHMARKS
from benchmarks.report.figures import Figure, Picture, Sources, declared_figures, draw_figures
from benchmarks.report.pictures.correspondences import CORRESPONDENCES
from benchmarks.report.pictures.cost import COST
from benchmarks.report.pictures.curves import (
    COLLAPSE,
    COLLAPSED,
    LOSSES,
    THROUGHPUT,
    draw_panels,
)
from benchmarks.report.pictures.extremes import EXTREMES
from benchmarks.report.pictures.forest import FOREST
from benchmarks.report.pictures.from_config import PAIRS
from benchmarks.report.pictures.pca import PCA
from benchmarks.report.pictures.quality import QUALITY
from benchmarks.report.pictures.upsampled import FEATURES


def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator)


def write_curve(path: Path, columns: str = "loss", rows: int = 5) -> Path:
    lines = [f"samples,{columns}"]
    for row in range(1, rows + 1):
        lines.append(",".join([str(8 * row), *[str(1 / row)] * len(columns.split(","))]))
    path.write_text("\n".join(lines))
    return path


def draw(figure: Figure, sources: Sources, folder: Path) -> list[Picture]:
    return draw_figures((figure,), sources, folder, console=Console(quiet=True))


FIGURES = (
    *(FOREST, COST, LOSSES, QUALITY, COLLAPSED, THROUGHPUT),
    *(EXTREMES, PCA, CORRESPONDENCES, PAIRS, FEATURES),
    *declared_figures(BENCHMARKS.values()),
)


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f.name)
def test_without_its_sources_a_figure_is_not_drawn(figure: Figure, tmp_path: Path) -> None:
    assert draw(figure, Sources(), tmp_path) == [] and not list(tmp_path.iterdir())


def test_colours_need_networks_and_images(tmp_path: Path) -> None:
    networks = {"a": "random:test_resnet", "b": "random:test_resnet?seed=1"}
    assert draw(PCA, Sources(networks=networks), tmp_path) == []
    assert draw(PCA, Sources(images=images), tmp_path) == []
    pictures = draw(PCA, Sources(networks=networks, images=images), tmp_path)
    assert pictures == [Picture("pictures/pca.png", PCA)]
    with Image.open(tmp_path / "pictures/pca.png") as image:
        one = image.size
    both = Sources(networks=dict(networks, c="random:test_resnet?seed=2"), images=images)
    draw(PCA, both, tmp_path)
    with Image.open(tmp_path / "pictures/pca.png") as image:
        assert image.size[0] == one[0] and image.size[1] > one[1]  # a row per network


def test_curves_are_read_from_all_seeds(tmp_path: Path) -> None:
    paths = [write_curve(tmp_path / f"{seed}.csv") for seed in range(2)]
    sources = Sources(curves={"a": paths, "b": paths[:1]})
    (sheet,) = LOSSES.gather(sources).values()
    assert [panel.label for panel in sheet.panels] == ["loss of a", "loss of b"]
    assert len(sheet.panels[0].curves["a"]) == 2
    assert draw(LOSSES, sources, tmp_path) == [Picture("pictures/curves.svg", LOSSES)]
    drawing = (tmp_path / "pictures/curves.svg").read_text()
    assert 'id="arm:a"' in drawing and 'id="arm:b"' in drawing and ">loss of b<" in drawing
    (tmp_path / "broken.csv").write_text("step,loss\n1,2\n")
    assert draw(LOSSES, Sources(curves={"a": [tmp_path / "broken.csv"]}), tmp_path) == []


def test_watched_columns_have_a_panel_each_that_all_arms_share(tmp_path: Path) -> None:
    plain = write_curve(tmp_path / "plain.csv")
    watched = write_curve(tmp_path / "watched.csv", ",".join(["loss", *COLLAPSE]))
    assert COLLAPSED.gather(Sources(curves={"a": [plain]})) == {}
    (sheet,) = COLLAPSED.gather(Sources(curves={"a": [plain], "b": [watched, watched]})).values()
    assert [panel.label for panel in sheet.panels][:2] == ["vector spread", "vector rank"]
    assert len(sheet.panels) == len(COLLAPSE)
    assert [len(curves) for curves in sheet.panels[0].curves.values()] == [2]  # b's two seeds
    with Image.open(draw_panels(sheet, tmp_path / "x.png")) as image:
        assert image.size[0] > 900


def test_pairs_are_those_of_the_first_recipe_with_two_views(
    image_folder: Path, tmp_path: Path
) -> None:
    def recipe(*groups: str, size: int = 32) -> dict[str, Any]:
        source = dict(type="ImageFolder", root=str(image_folder))
        views = {group: [dict(size=size), dict(size=size)] for group in groups}
        return dict(source=source, views=dict(type="ViewRecipe", groups=views))

    one_view = recipe("global")
    one_view["views"]["groups"]["global"].pop()
    assert PAIRS.gather(Sources(recipes={"a": one_view, "b": recipe("other")})) == {}
    chosen = recipe("global")
    recipes = {"a": one_view, "b": chosen, "c": recipe("global", size=16)}
    assert PAIRS.gather(Sources(recipes=recipes)) == {"": chosen}
    assert draw(PAIRS, Sources(recipes=recipes), tmp_path) == [Picture("pictures/pairs.png", PAIRS)]
    with Image.open(tmp_path / "pictures/pairs.png") as image:
        assert len(np.unique(np.array(image.convert("RGB")).reshape(-1, 3), axis=0)) > 200
