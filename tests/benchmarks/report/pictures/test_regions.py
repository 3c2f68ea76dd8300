"""Pictures of nested views, from a config as tools/draw_pairs.py makes them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.report.pictures.from_config import draw_config_views

VIEWS = {
    "context": [dict(size=40)],
    "exemplar": [dict(size=16, within="context", rotation=45, scale=(0.05, 0.48))] * 3,
}


def config(image_folder: Path) -> dict:
    return dict(
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups=dict(VIEWS)),
    )


def test_nested_views_are_drawn_with_their_outlines(image_folder: Path, tmp_path: Path) -> None:
    path = draw_config_views(
        config(image_folder), tmp_path / "regions.png", count=2, group="exemplar"
    )
    picture = cv2.imread(str(path))
    assert picture.std() > 20
    # Each part has an outline in the context and a frame of the same colour: blue, orange and green
    # (BGR).
    for colour in ((178, 114, 0), (0, 94, 213), (115, 158, 0)):
        assert (picture == colour).all(2).sum() > 100


def test_a_missing_group_is_named(image_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="group='global': the recipe makes context, exemplar"):
        draw_config_views(config(image_folder), tmp_path / "no.png")
    with pytest.raises(
        ValueError, match="group='context' has one view, pairs need two; try 'exemplar'"
    ):
        draw_config_views(config(image_folder), tmp_path / "no.png", group="context")


def test_an_unreadable_image_is_replaced(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((40, 40, 3), 90, np.uint8))
    (tmp_path / "a.png").write_bytes(b"no image")
    views = dict(type="ViewRecipe", groups={"global": [dict(size=16)] * 2})
    source = dict(type="ImageFolder", root=str(tmp_path))
    assert draw_config_views(dict(source=source, views=views), tmp_path / "pairs.png").is_file()
