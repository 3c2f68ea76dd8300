"""Pictures of the views that a training config makes, photometrics left out, so that one sees the
geometry alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.registry import DATASETS, TRANSFORMS

from benchmarks.report.figures import Figure, Sources
from benchmarks.report.pictures.pairs import draw_pairs
from benchmarks.report.pictures.regions import draw_regions
from pretrain.data import ViewDataset
from pretrain.data.decode import decode
from pretrain.data.source_image import RegionSource
from pretrain.engine.check import register_all
from pretrain.structures import collate


def draw_config_views(
    config: dict,
    path: str | Path,
    *,
    count: int = 3,
    seed: int = 0,
    group: str = "global",
    grid: tuple[int, int] = (7, 7),
) -> Path:
    """Draws the views of the first images of a permutation of a config's source; unreadable ones
    are replaced.

    A group of views nested in another one (CIM's exemplars) is drawn beside the view that it lies
    in; of any other group the first two views are drawn with their positive pairs.

    Args:
        config: has ``source`` and ``views``. seed: of the choice and of the crops.
        grid: cells (rows, columns) of the feature map whose pairs are drawn.

    Raises:
        ValueError: no ``source`` or ``views`` in the config; the recipe has no such group, or
            neither two views nor nested ones in it.
    """
    for section in ("source", "views"):
        if section not in config:
            raise ValueError(
                f"the config has no {section}; it has {', '.join(config) or 'nothing'}"
            )
    register_all()
    source, recipe = DATASETS.build(dict(config["source"])), TRANSFORMS.build(dict(config["views"]))
    if group not in recipe.groups:
        raise ValueError(f"group={group!r}: the recipe makes {', '.join(recipe.groups)}")
    dataset = ViewDataset(source, recipe, seed=seed)
    chosen = np.random.default_rng(seed).permutation(len(source))[:count].tolist()
    batch = collate([dataset[0, index] for index in chosen])
    views = batch.views
    pixels, maps = views[group].images, views[group].geometry
    parent = recipe.specs[group][0].within
    if parent is None:
        if pixels.shape[1] < 2:
            nested = [name for name, specs in recipe.specs.items() if specs[0].within == group]
            raise ValueError(
                f"group={group!r} has one view, pairs need two"
                + f"; try {nested[0]!r}" * bool(nested)
            )
        title = f"positive pairs of a {grid[0]}×{grid[1]} grid, group {group!r}"
        # Views of a box or of two frames lie in no single picture that could be shown beside them.
        whole = (
            None
            if isinstance(source, RegionSource)
            else [decode(source.read(i)) for i in batch.ids.tolist()]
        )
        return draw_pairs(pixels[:, :2], maps[:, :2], path, sources=whole, grid=grid, title=title)
    title = f"{group!r} within {parent!r}: each part and where it lies"
    context = views[parent]
    return draw_regions(
        context.images[:, 0],
        pixels,
        path,
        geometry=context.geometry[:, 0],
        part_geometry=maps,
        title=title,
    )


def _gather(sources: Sources) -> dict[str, dict]:
    """The first recipe that learns from two views; not every objective does."""
    for recipe in sources.recipes.values():
        if len(recipe["views"].get("groups", {}).get("global", ())) >= 2:
            return {"": recipe}
    return {}


PAIRS = Figure(
    name="pairs",
    title="Positive pairs",
    caption="Positive pairs of the first trained arm's views.",
    gather=_gather,
    draw=draw_config_views,
)
