"""Pictures of the views that a training config makes, photometrics left out, so that one sees the geometry alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.registry import DATASETS, TRANSFORMS

from benchmarks.pictures.pairs import draw_pairs
from benchmarks.pictures.regions import draw_regions
from pretrain.data.decode import decode
from pretrain.engine.check import register_all


def draw_config_views(
    config: dict,
    path: str | Path,
    *,
    count: int = 3,
    seed: int = 0,
    group: str = "global",
    grid: tuple[int, int] = (7, 7),
) -> Path:
    """Draws the views of the first images of a permutation of a config's source.

    A group of views nested in another one (CIM's exemplars) is drawn beside the view that it lies in; of any other
    group the first two views are drawn with their positive pairs.

    Args:
        config: has ``source`` and ``views``. seed: of the choice and of the crops.
        grid: cells (rows, columns) of the feature map whose pairs are drawn.

    Raises:
        ValueError: the recipe has no such group, or neither two views nor nested ones in it.
    """
    register_all()
    source, recipe = DATASETS.build(dict(config["source"])), TRANSFORMS.build(dict(config["views"]))
    if group not in recipe.groups:
        raise ValueError(f"group={group!r}: the recipe makes {', '.join(recipe.groups)}")
    rng = np.random.default_rng(seed)
    images, made = [], []
    for index in rng.permutation(len(source))[:count]:
        image = decode(source.read(int(index)))
        images.append(image)
        made.append(recipe.render(image, recipe.plan(image.shape[0], image.shape[1], rng)))
    pixels = torch.stack([views[group].images for views in made])
    maps = torch.stack([views[group].geometry for views in made])
    parent = recipe.specs[group][0].within
    if parent is None:
        title = f"positive pairs of a {grid[0]}×{grid[1]} grid, group {group!r}"
        return draw_pairs(pixels[:, :2], maps[:, :2], path, sources=images, grid=grid, title=title)
    context = torch.stack([views[parent].images[0] for views in made])
    around = torch.stack([views[parent].geometry[0] for views in made])
    title = f"{group!r} within {parent!r}: each part and where it lies"
    return draw_regions(context, pixels, path, geometry=around, part_geometry=maps, title=title)
