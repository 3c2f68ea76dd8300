"""Start weights made of a trained network: its first layers, or filters drawn like them, before
layers as they were when its training began.

Filters of the first layer are drawn from N(0, Σ_w), Σ_w the covariance of the trained ones around
their mean: all that is left of the training is that covariance. The coordinates of a deeper layer
are the channels before it, which are no longer the trained ones, so its Σ_w means nothing there.
What carries over is how far the units spread along the directions of their inputs: with σ_i, v_i of
the inputs in the trained network and f(σ_i) of its units, and v'_i of the inputs in the new network
(its earlier layers drawn already), its filters are drawn from N(0, Σ_i f(σ_i)² v'_i v'_iᵀ),
directions matched by rank. Every filter tensor then gets its initial norm, as
:mod:`pretrain.rescale` gives it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.analysis.layers import (
    WEIGHTED,
    Shown,
    inputs_of,
    layers_of,
    show_images,
    units_of,
    watching,
)
from benchmarks.analysis.misalignment import Covariance, covariance, eigenspaces, transfer
from benchmarks.core.extractor import FeatureExtractor
from pretrain.names import check_choice
from pretrain.progress import Progress
from pretrain.rescale import rescale

FILTERS = ("trained", "drawn")
_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.SyncBatchNorm)


@dataclass(frozen=True)
class StartPlan:
    """What a start takes over.

    Attributes:
        filters: ``trained`` as they are, or ``drawn`` like them.
        layers: how many convolutions and linear layers from the first on; 0 = all of them, and of
            trained ones everything else that the network has, too.
        rescaled: whether each tensor gets its initial norm.
        seed: of the draw.

    Raises:
        ValueError: an illegal value.
    """

    filters: str = "drawn"
    layers: int = 1
    rescaled: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("filters", self.filters, FILTERS)
        if self.layers < 0:
            raise ValueError(f"layers={self.layers} must be 0 (all) or above")


def make_start(
    trained: FeatureExtractor,
    initial: FeatureExtractor,
    plan: StartPlan,
    *,
    shown: Shown,
    progress: Progress | None = None,
) -> nn.Module:
    """Returns a backbone that begins as planned; both networks stay as they are.

    Args:
        trained: the network after its training.
        initial: the same one before it, see ``benchmarks.analysis.references``.
        plan: what is taken over.
        shown: images; drawing more than the first layer reads them.
        progress: called with (phase, done, in all).

    Raises:
        ValueError: networks of different shapes, more layers than there are, or a layer in groups.
    """
    _require_same_shapes(trained, initial)
    names = list(layers_of(trained, WEIGHTED, shown.size))
    if plan.layers > len(names):
        raise ValueError(f"layers={plan.layers}: the network has {len(names)}; 0 takes all of them")
    chosen = names[: plan.layers or None]
    backbone = copy.deepcopy(initial.backbone)
    if plan.filters == "drawn":
        _draw(backbone, trained, chosen, plan=plan, shown=shown, progress=progress)
    elif plan.layers == 0:
        backbone.load_state_dict(trained.backbone.state_dict())
    else:
        for name in chosen:
            _put(backbone, name, trained.backbone.model.get_submodule(name).weight)
    if plan.rescaled:
        state, _, _ = rescale(backbone.state_dict(), initial.backbone)
        backbone.load_state_dict(state)
    return backbone


def draw_like(units: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(count, d) float64 from N(0, Σ), Σ the covariance of units (n, d) around their mean; also
    where n ≤ d, within the span of the units.
    """
    centred = units.double() - units.double().mean(0)
    normal = torch.randn(count, len(units), dtype=torch.float64, generator=generator)
    return normal @ centred / (len(units) - 1) ** 0.5


def draw_along(
    directions: Tensor, spreads: Tensor, count: int, *, generator: torch.Generator
) -> Tensor:
    """(count, d) float64 from N(0, Σ_i s_i² v_i v_iᵀ), v_i the columns of ``directions`` (d, d) and
    s_i the ``spreads`` (d,).
    """
    normal = torch.randn(count, len(spreads), dtype=torch.float64, generator=generator)
    return (normal * spreads) @ directions.T


def _draw(
    backbone: nn.Module,
    trained: FeatureExtractor,
    chosen: list[str],
    *,
    plan: StartPlan,
    shown: Shown,
    progress: Progress | None,
) -> None:
    """Puts drawn filters into the chosen layers of the backbone, from the first on."""
    generator = torch.Generator().manual_seed(plan.seed)
    layers = layers_of(trained, WEIGHTED, shown.size)
    first, *deeper = chosen
    drawn = draw_like(units_of(first, layers[first]), len(layers[first].weight), generator)
    _put(backbone, first, drawn)
    if not deeper:
        return
    there = _input_covariances(
        trained.vector, {name: layers[name] for name in deeper}, shown=shown, progress=progress
    )

    def encode(images: Tensor) -> object:
        return backbone(trained.normalise(images))

    for name in deeper:
        spaces = eigenspaces(there[name].matrix)
        spreads = transfer(spaces, covariance(units_of(name, layers[name])))
        with _by_batch(backbone):
            one = {name: backbone.model.get_submodule(name)}
            here = _input_covariances(encode, one, shown=shown, progress=progress)
        directions = eigenspaces(here[name].matrix).vectors
        count = len(layers[name].weight)
        drawn = draw_along(directions, spreads, count, generator=generator)
        _put(backbone, name, drawn)


def _input_covariances(
    encode: Callable[[Tensor], object],
    layers: Mapping[str, nn.Module],
    *,
    shown: Shown,
    progress: Progress | None,
) -> dict[str, Covariance]:
    """Layer -> covariance of what its units see while images pass."""
    seen: dict[str, Covariance] = {}

    def count(name: str, inputs: Tensor, _: Tensor) -> None:
        for rows in inputs_of(layers[name], inputs):
            seen.setdefault(name, Covariance(rows.shape[1])).add(rows)

    with watching(layers, count), torch.no_grad():
        show_images(encode, shown, progress=progress)
    return seen


@contextmanager
def _by_batch(network: nn.Module) -> Iterator[None]:
    """BatchNorm by the batch's own statistics, as at the first steps of a training; those that run
    along stay as they are.
    """
    norms = [module for module in network.modules() if isinstance(module, _BATCH_NORMS)]
    before = [(module.training, module.track_running_stats) for module in norms]
    for module in norms:
        module.training, module.track_running_stats = True, False
    try:
        yield
    finally:
        for module, (training, tracking) in zip(norms, before, strict=True):
            module.training, module.track_running_stats = training, tracking


@torch.no_grad()
def _put(backbone: nn.Module, name: str, units: Tensor) -> None:
    """Units (n, d), or filters, into a layer."""
    weight = backbone.model.get_submodule(name).weight
    weight.copy_(units.view_as(weight))


def _require_same_shapes(trained: FeatureExtractor, initial: FeatureExtractor) -> None:
    """Raises a ValueError that names the first tensor that differs."""
    own, other = trained.backbone.state_dict(), initial.backbone.state_dict()
    for name in sorted(own.keys() | other.keys()):
        shapes = [tuple(s[name].shape) if name in s else None for s in (own, other)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"reference: {name} is {shapes[1]} in {initial.spec} and {shapes[0]} in "
                f"{trained.spec}; name a network of the same architecture"
            )
