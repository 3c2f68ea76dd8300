"""The terms that objectives and models return, {name: scalar}: which of them are minimised."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def is_loss(name: str) -> bool:
    """Tells whether a term is minimised, or only logged; mmengine goes by the same rule."""
    return "loss" in name


def total_loss(terms: Mapping[str, Tensor]) -> Tensor:
    """Returns the sum of the terms that are minimised."""
    return sum(value for name, value in terms.items() if is_loss(name))
