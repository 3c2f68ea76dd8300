"""How far a network is from a second one of the same architecture, in the space of parameters.

    l2(module) = ‖θ1 − θ2‖ over the parameters of the module; all = sqrt(Σ l2²) over modules

The network has no classifier, and buffers (BatchNorm's statistics) are no parameters: both are left
out. No image is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.analysis.distance_figure import DISTANCE
from benchmarks.analysis.modules import module_parameters
from benchmarks.analysis.references import load_reference, reference_fact
from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.data import ClassFolder
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from the networks."""

    # the second network: start (the same one before its pretraining), FILE.pth, timm:NAME, …
    reference: str = "start"


@dataclass(frozen=True)
class Distance:
    """Of one module.

    Attributes:
        l2: ‖θ1 − θ2‖.
        relative: that in percent of ‖θ2‖; NaN where that is 0.
        parameters: how many there are.
    """

    l2: float
    relative: float
    parameters: int


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures ``l2`` over all parameters, and ``relative``, that as a share of the reference's
    norm in percent; counts have both parts of every module.

    Raises:
        ValueError: a reference of another architecture.
        FileNotFoundError: no such file of a reference.
    """
    reference = load_reference(extractor, settings.reference)
    own, other = (dict(network.backbone.named_parameters()) for network in (extractor, reference))
    require_alike(own, other, names=(extractor.spec, reference.spec))
    modules = distances(own, other, module_parameters(extractor.backbone))
    (whole,) = distances(own, other, dict(all=list(own))).values()
    rows = [dict(module=name) | vars(distance) for name, distance in modules.items()]
    return Result(
        dict(l2=Metric(whole.l2, "1", "lower"), relative=Metric(whole.relative, "%", "lower")),
        dict(per_module=rows),
        facts=dict(data=None, reference=reference_fact(settings.reference, reference)),
        subject=dict(reference=reference.describe()),
    )


def distances(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], modules: Mapping[str, Sequence[str]]
) -> dict[str, Distance]:
    """Module -> its distance, summed in float64.

    Args:
        first, second: name -> parameter, of equal shapes.
        modules: module -> names of its parameters.
    """
    result = {}
    for module, names in modules.items():
        own, other = _flat(first, names), _flat(second, names)
        l2, norm = float((own - other).norm()), float(other.norm())
        result[module] = Distance(l2, 100 * l2 / norm if norm else math.nan, len(own))
    return result


def _flat(parameters: Mapping[str, Tensor], names: Sequence[str]) -> Tensor:
    """(n,) float64 on the CPU: the named parameters one after the other."""
    return torch.cat([parameters[name].detach().double().flatten().cpu() for name in names])


def require_alike(
    first: Mapping[str, Tensor], second: Mapping[str, Tensor], *, names: tuple[str, str]
) -> None:
    """Raises a ValueError unless parameters of both networks have the same names and shapes.

    Args:
        first, second: name -> parameter.
        names: of the networks, for the message.
    """
    own, other = _shapes(first), _shapes(second)
    if own == other:
        return
    name = next(name for name in own | other if own.get(name) != other.get(name))
    own_shape, other_shape = own.get(name, "missing"), other.get(name, "missing")
    raise ValueError(
        f"parameter {name} is {own_shape} in {names[0]}, {other_shape} in {names[1]}: only "
        "networks of one architecture have a distance; name another reference="
    )


def _shapes(parameters: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in parameters.items()}


BENCHMARK = Benchmark(
    name="distance",
    about="how far the parameters are from those of a second network",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("l2", "relative"),
    figures=(DISTANCE,),
)
