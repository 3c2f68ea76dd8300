"""Correspondences: a match is right where the same place of the photo was found."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.report.pictures.correspondences import (
    QUERIES,
    draw_matches,
    match,
    second_view,
    true_places,
)


def photos() -> Tensor:
    """Two photos in which every place has a colour of its own: red tells x, green tells y."""
    y, x = torch.meshgrid(torch.linspace(0, 255, 96), torch.linspace(0, 255, 96), indexing="ij")
    one = torch.stack([x, y, 255 - x])
    return torch.stack([one, one.flip(1)]).round().to(torch.uint8)


def ramps(images: Tensor) -> Tensor:
    """Features that tell the colour and nothing else, on a grid of cells of 4 pixels."""
    cells = torch.nn.functional.avg_pool2d(images.float(), 4)
    return torch.cat([cells, torch.full_like(cells[:, :1], 128.0)], 1)


def test_places_of_the_second_view_lie_mirrored_in_the_middle() -> None:
    places = torch.tensor([[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]])
    expected = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.1, 0.1]])
    assert torch.allclose(true_places(places), expected)
    x = torch.linspace(0, 255, 100).round().to(torch.uint8).expand(1, 3, 100, 100)
    view = second_view(x)
    assert view.shape == x.shape and view.dtype == torch.uint8
    # The colour of a ramp tells the place that a pixel came from.
    assert abs(float(view[0, 0, 50, 2]) - 255 * (0.9 - 0.02)) < 4
    assert abs(float(view[0, 0, 50, 97]) - 255 * (0.1 + 0.02)) < 4


def test_features_of_colour_find_the_same_colour_and_constant_ones_nothing() -> None:
    images = photos()
    matches = match(ramps(images), ramps(second_view(images)))
    assert matches.queries.shape == matches.found.shape == (2, QUERIES**2, 2)
    assert matches.right.all()
    constant = torch.ones(2, 4, 24, 24)
    assert match(constant, constant).right.float().mean() < 0.1


def test_rows_are_arms(tmp_path: Path) -> None:
    images = photos()
    views = second_view(images)
    matches = match(ramps(images), ramps(views))
    sizes = []
    for names in ("a", "ab"):
        path = draw_matches(images, views, dict.fromkeys(names, matches), tmp_path / "x.png")
        with Image.open(path) as image:
            sizes.append(image.size)
    assert sizes[1][0] == sizes[0][0] and sizes[1][1] == 2 * sizes[0][1]
