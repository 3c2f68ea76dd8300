"""From numbers to words: which signs of a collapse a look at the features shows, and which knob is
the likely one.

Limits are absolute. Untrained networks on photographs (ResNets, ViT, ConvNeXt; 96 px, batch 64)
show spreads of 0.38 to 0.95 and ranks of 26 and more, far from every limit: a network that falls
below one has lost something it had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pretrain.objectives.parts.base import Bounds, Objective

FAST_MOMENTUM = 0.9  # below it a target is its online network of ten steps ago: no anchor
FEW_FOR_BATCHNORM = 32  # images per process below which batch statistics are the usual suspect


@dataclass(frozen=True)
class Limits:
    """What counts as a sign. All values without unit."""

    spread: float = 0.1  # of vectors or cells; 0.1 means a mean cosine of 0.99 between random pairs
    rank: float = 3.0  # effective rank of vectors or cells
    gap: float = 0.01  # mean cosine of positive pairs minus that of random pairs
    loss: float = 0.01  # distance of the loss from its collapsed value, as a share of its range
    # The same where the best value is the collapsed one too (PixPro, BYOL). Wider, because a
    # projector that collapses hides behind healthy backbone features and shows only here: PixPro
    # stood at -3.82 of -4 while nothing was learned.
    bound: float = 0.05

    def __post_init__(self) -> None:
        for name in ("spread", "rank", "gap", "loss", "bound"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"limits.{name}={value!r}: must be a number >= 0; 0 switches the sign off"
                )


def find_signs(values: dict[str, float], limits: Limits) -> dict[str, str]:
    """Returns {name of the value: what it means in plain words} for every value beyond its limit.

    Args:
        values: any of ``vector_spread``, ``cell_spread``, ``cell_spread_within``, ``vector_rank``,
            ``cell_rank``, ``vector_gap``, ``cell_gap``. Not-a-numbers are no sign: a run with those
            stops elsewhere.
        limits: where signs begin.
    """
    what = {"vector": "pooled vectors of different images", "cell": "cells of the feature maps"}
    signs = {}
    for kind, things in what.items():
        spread = values.get(f"{kind}_spread", math.inf)
        if spread < limits.spread:
            signs[f"{kind}_spread"] = (
                f"the {things} point nearly the same way (spread {spread:.3f}, mean cosine "
                f"{1 - spread**2:.4f})"
            )
        rank = values.get(f"{kind}_rank", math.inf)
        if rank < limits.rank:
            signs[f"{kind}_rank"] = f"the {things} use only about {rank:.1f} dimensions"
        gap = values.get(f"{kind}_gap", math.inf)
        if gap < limits.gap:
            pairs = (
                "the two views of an image"
                if kind == "vector"
                else "cells that show the same place"
            )
            signs[f"{kind}_gap"] = (
                f"{pairs} are no more alike than random ones (gap of cosines {gap:.4f})"
            )
    within = values.get("cell_spread_within", math.inf)
    if within < limits.spread and "cell_spread" not in signs:
        signs["cell_spread_within"] = (
            f"the cells of one image have become the same everywhere (spread {within:.3f}) "
            "while images still differ: the map no longer knows places"
        )
    return signs


def loss_sign(loss: float, bounds: Bounds, limits: Limits) -> str | None:
    """Returns what a loss at its collapsed value means, None if it is elsewhere or the value is
    unknown.

    Args:
        loss: unweighted.
        bounds: its known values.
        limits: how near counts, as a share of the distance between the collapsed value and another
            known one.
    """
    if bounds.collapsed is None:
        return None
    known = (bounds.best, bounds.random_start, 0.0)
    others = [value for value in known if value not in (None, bounds.collapsed)]
    reach = abs(others[0] - bounds.collapsed) if others else 1.0
    blind = bounds.best == bounds.collapsed
    if abs(loss - bounds.collapsed) >= (limits.bound if blind else limits.loss) * reach:
        return None
    if blind:
        return (
            f"its loss {loss:.4f} is at its bound {bounds.best:.4f}, which equal features reach "
            "as well as good ones"
        )
    return (
        f"its loss {loss:.4f} stays at {bounds.collapsed:.4f}, the value of features that tell "
        "nothing apart"
    )


def describe_loss(loss: float, bounds: Bounds) -> str:
    """Returns the loss with its known values: ``-1.2340 (best -4, collapsed -4, fresh 0)``."""
    known = ", ".join(f"{name} {value:.4g}" for name, value in bounds.known().items())
    return f"{loss:.4f} ({known})" if known else f"{loss:.4f}"


def likely_knobs(
    objectives: Sequence[Objective],
    bounds: Sequence[Bounds],
    *,
    momentum: float,
    lr: float,
    images: int,
) -> list[str]:
    """Returns what to try, likeliest first. Asks objectives for their nature only, never for their
    names.

    Args:
        objectives: of the model.
        bounds: known values of their losses.
        momentum: of the targets, now.
        lr: learning rate, now.
        images: per process and forward pass, which is what BatchNorm sees without SyncBN.
    """
    follows = any(objective.needs.target for objective in objectives)
    blind = any(each.collapsed is not None and each.best == each.collapsed for each in bounds)
    contrasts = any(objective.temperature is not None for objective in objectives)
    sure, likely, other = [], [], []
    if follows and momentum < FAST_MOMENTUM:
        sure.append(
            f"momentum is {momentum:.4g} now, far too low for a target: set model.momentum.start "
            "to 0.99"
        )
    elif follows:
        other.append(f"momentum is {momentum:.4g} now: a start nearer to 1 makes targets steadier")
    if images < FEW_FOR_BATCHNORM:
        sure.append(
            f"BatchNorm sees {images} images per process: use more, engine.sync_bn, or a "
            "backbone without BatchNorm"
        )
    if blind:
        likely.append(
            "nothing in this loss forbids equal features, only the asymmetry of online and "
            "target does: check that the predictor or propagation module is there, has trained "
            "layers, and that its learning rate is not lower"
        )
    if contrasts:
        likely.append(
            "a high temperature hardly pushes negatives apart: lower it, or give it more images "
            "per step"
        )
    likely.append(f"the learning rate is {lr:.3g} now: halve it, or lengthen the warm-up")
    other.append(
        "strong weight decay shrinks features to a point: lower it, and keep it off 1-D parameters"
    )
    return sure + likely + other
