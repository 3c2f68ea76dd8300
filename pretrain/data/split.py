"""Which views of a recipe are cut from which shot, and putting them together again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch

from pretrain.structures import Photometric, Views


class Plan(Protocol):
    """The drawn parameters of one sample's views."""

    @property
    def min_decode_size(self) -> tuple[int, int]:
        """Smallest (height, width) of the decoded image that loses nothing in any crop."""


class Recipe(Protocol):
    """What the data set needs of a view recipe (``pretrain.views.recipe.ViewRecipe``).

    Attributes:
        specs: group name -> the settings of its views; the class takes them as its argument ``groups``, too.
    """

    specs: dict[str, tuple[Any, ...]]

    def plan(self, height: int, width: int, rng: np.random.Generator) -> Plan:
        """Draws crops and photometrics for an upright image of this size."""

    def render(self, image: np.ndarray, plan: Plan, *, photometrics: bool = False) -> dict[str, Views]:
        """Cuts the views, without axis B, from (H, W, 3) uint8, which may be a scaled decode."""


@dataclass(frozen=True)
class Part:
    """The views that one shot gives.

    Attributes:
        shot: number of the shot.
        recipe: makes these views alone.
        places: group name -> which views of the whole recipe's group they are.
    """

    shot: int
    recipe: Recipe
    places: dict[str, tuple[int, ...]]


def split(recipe: Recipe, shots: int) -> tuple[Part, ...]:
    """Deals the views out: view v of each group to shot v mod ``shots``, a view within another view to that one's shot.

    Shots that get no view are left out.
    """
    if shots == 1:
        return (Part(0, recipe, {name: tuple(range(len(specs))) for name, specs in recipe.specs.items()}),)
    parts = []
    for shot in range(shots):
        places = {
            name: tuple(v for v, spec in enumerate(specs) if _shot(v, spec, shots) == shot)
            for name, specs in recipe.specs.items()
        }
        places = {name: chosen for name, chosen in places.items() if chosen}
        if places:
            groups = {name: [recipe.specs[name][v] for v in chosen] for name, chosen in places.items()}
            parts.append(Part(shot, type(recipe)(groups), places))
    return tuple(parts)


def _shot(view: int, spec: Any, shots: int) -> int:
    """Returns the shot of a view; a group that others lie within has one view, which is cut from shot 0."""
    return view % shots if spec.within is None else 0


def merge(parts: tuple[Part, ...], made: list[dict[str, Views]]) -> dict[str, Views]:
    """Puts the views of all parts in the whole recipe's order."""
    if len(parts) == 1:
        return made[0]
    merged = {}
    for name in dict.fromkeys(name for part in parts for name in part.places):
        owners = [(part.places[name], views[name]) for part, views in zip(parts, made, strict=True) if name in views]
        order = torch.argsort(torch.tensor([place for places, _ in owners for place in places]))
        merged[name] = Views(
            torch.cat([views.images for _, views in owners])[order],
            torch.cat([views.geometry for _, views in owners])[order],
            _joined([views.photometric for _, views in owners], order),
        )
    return merged


def _joined(items: list[Photometric | None], order: torch.Tensor) -> Photometric | None:
    """Returns the parameters of all views in ``order``; None if they are applied already."""
    if items[0] is None:
        return None
    return Photometric(**{f.name: torch.cat([getattr(i, f.name) for i in items])[order] for f in fields(Photometric)})
