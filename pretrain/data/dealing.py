"""Which view is cut from which source image of a sample."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from pretrain.structures import Photometric, Views
from pretrain.views.recipe import ViewRecipe, ViewSpec


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
    another view, or one that repeats another, to that one's source image. A view that is to overlap
    with those of a group overlaps with those of them that are cut from its own source image.

    Source images that get no view are left out.

    Raises:
        ValueError: a view that is to overlap with one that is cut from another source image.
    """
    dealt: list[dict[str, tuple[int, ...]]] = [{} for _ in range(images)]
    for name, specs in recipe.specs.items():
        for view, spec in enumerate(specs):
            places = dealt[_image_of(spec, view, recipe) % images]
            places[name] = (*places.get(name, ()), view)
    return tuple(
        Share(image, _part(recipe, places), places) for image, places in enumerate(dealt) if places
    )


def _image_of(spec: ViewSpec, view: int, recipe: ViewRecipe) -> int:
    """Returns the number, before the modulus, of the source image of a view."""
    if spec.same_as is not None:
        group, twin = spec.same_as
        return _image_of(recipe.specs[group][twin], twin, recipe)
    # A group that others lie within has one view, which is cut from image 0.
    return view if spec.within is None else 0


def _part(recipe: ViewRecipe, places: dict[str, tuple[int, ...]]) -> ViewRecipe:
    """Returns the recipe of these views; the recipe itself if they are all of its views."""
    groups = {}
    for name, chosen in places.items():
        groups[name] = [_renumbered(recipe.specs[name][view], places) for view in chosen]
    whole = {name: list(specs) for name, specs in recipe.specs.items()}
    return recipe if groups == whole else ViewRecipe(groups)


def _renumbered(spec: ViewSpec, places: dict[str, tuple[int, ...]]) -> ViewSpec:
    """Returns the spec with the views that it names numbered as in the part of the recipe."""
    if spec.same_as is not None:
        group, twin = spec.same_as
        return replace(spec, same_as=(group, places[group].index(twin)))
    overlap = spec.overlap
    if overlap is None:
        return spec
    if overlap.view is None and overlap.group in places:
        return spec
    if overlap.view not in places.get(overlap.group, ()):
        raise ValueError(
            f"{overlap}: the views to overlap with are cut from another source image; leave "
            "view out, or overlap with one that is cut from the same"
        )
    return replace(spec, overlap=replace(overlap, view=places[overlap.group].index(overlap.view)))


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
