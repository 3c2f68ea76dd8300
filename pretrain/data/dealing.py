"""Which view is cut from which source image of a sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pretrain.structures import Photometric, Views
from pretrain.views.recipe import ViewRecipe


@dataclass(frozen=True)
class Share:
    """The views that one source image gives.

    Attributes:
        image: number of the source image.
        recipe: makes these views alone.
        places: group name -> which views of the whole recipe's group they are.
    """

    image: int
    recipe: ViewRecipe
    places: dict[str, tuple[int, ...]]


def deal_views(recipe: ViewRecipe, images: int) -> tuple[Share, ...]:
    """Deals the views out: view v of each group to source image v mod ``images``, a view within
    another view to that one's source image.

    Source images that get no view are left out.
    """
    dealt: list[dict[str, tuple[int, ...]]] = [{} for _ in range(images)]
    for name, specs in recipe.specs.items():
        for view, spec in enumerate(specs):
            # A group that others lie within has one view, which is cut from image 0.
            places = dealt[view % images if spec.within is None else 0]
            places[name] = (*places.get(name, ()), view)
    return tuple(
        Share(image, _part(recipe, places), places) for image, places in enumerate(dealt) if places
    )


def _part(recipe: ViewRecipe, places: dict[str, tuple[int, ...]]) -> ViewRecipe:
    """Returns the recipe of these views; the recipe itself if they are all of its views."""
    groups = {}
    for name, chosen in places.items():
        groups[name] = [recipe.specs[name][view] for view in chosen]
    whole = {name: list(specs) for name, specs in recipe.specs.items()}
    return recipe if groups == whole else ViewRecipe(groups)


def join_views(shares: tuple[Share, ...], rendered: list[dict[str, Views]]) -> dict[str, Views]:
    """Puts the views of all shares in the whole recipe's order.

    Args:
        shares: as :func:`deal_views` returns them.
        rendered: the views of each.
    """
    if len(shares) == 1:
        return rendered[0]
    places: dict[str, list[int]] = {}
    parts: dict[str, list[Views]] = {}
    for share, groups in zip(shares, rendered, strict=True):
        for name, views in groups.items():
            places.setdefault(name, []).extend(share.places[name])
            parts.setdefault(name, []).append(views)
    return {name: _joined(parts[name], torch.tensor(places[name]).argsort()) for name in parts}


def _joined(parts: list[Views], order: torch.Tensor) -> Views:
    """Returns the views of all parts in ``order``."""
    photometric = None  # None: applied already
    if parts[0].photometric is not None:
        photometric = Photometric.cat([part.photometric for part in parts])
        photometric = photometric.map(lambda field: field[order])
    images = torch.cat([part.images for part in parts])
    geometry = torch.cat([part.geometry for part in parts])
    return Views(images[order], geometry[order], photometric)
