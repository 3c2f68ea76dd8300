"""Alignment: are the units of a layer aligned with the directions in which its inputs vary?

Σ_x is the covariance of what the units of one layer see of the images (patches of the normalised
image for the first layer, of the layer's input map for a later one), Σ_w that of its units.
Measured are the misalignment of both, beside what random bases in place of the eigenvectors of Σ_x
give and what as many truly aligned units would have by chance, and the transfer function f(σ). See
:mod:`benchmarks.analysis.misalignment` for the formulas.

Cost: the images encoded once, d² multiply-adds per patch.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.analysis.alignment_figure import ALIGNMENT
from benchmarks.analysis.layers import (
    WEIGHTED,
    Shown,
    inputs_of,
    layers_of,
    numbered,
    show_images,
    units_of,
    watching,
)
from benchmarks.analysis.misalignment import (
    Covariance,
    Eigenspaces,
    covariance,
    eigenspaces,
    misalignment,
    random_misalignments,
    simulated_floor,
    transfer,
)
from benchmarks.core.benchmark import Benchmark, Result, shown_as, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Metric
from benchmarks.core.vectors import check_settings
from benchmarks.data import ClassFolder
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: int = 224  # side of the square input in pixels
    # shorter side is resized to size / crop_fraction, then the centre is cut
    crop_fraction: float = 0.875
    images: int = 500  # of the validation part at most, evenly spread
    layer: int = 1  # convolution or linear layer, in the order in which an image passes them
    # eigenvectors of Σ_x kept, those of the largest variance, fewer than there are units; 0 = all,
    # but at most half as many as there are units, whose covariance says little of more
    leading: int = 0
    # further networks whose units of this layer are counted as well, as specs on command lines
    runs: tuple[str, ...] = shown_as("units", default=())
    bases: int = 20  # random bases of the control
    draws: int = 20  # of truly aligned units, for the floor
    seed: int = 0  # of both
    batch_size: int = speed_only(64)  # images encoded at once

    def __post_init__(self) -> None:
        check_settings(self, ("size", "images", "layer", "bases", "draws", "batch_size"))
        if self.leading < 0:
            raise ValueError(f"leading={self.leading} must be 0 (as many as fit) or above")
        if self.runs and self.layer > 1:
            raise ValueError(
                f"runs={self.runs!r}, layer={self.layer}: only the first layer's inputs are the "
                "same in every network; pool units of layer=1 alone"
            )


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Measures the misalignment of one layer; counts hold f(σ) and every draw of the controls.

    Raises:
        ValueError: no such layer, a grouped convolution, runs of another shape or normalisation, or
            too few units for these directions: says what to do.
    """
    name, layer = numbered(layers_of(extractor, WEIGHTED, settings.size), settings.layer)
    units = torch.cat([units_of(name, layer), *_pooled(extractor, settings, layer)])
    seen = Covariance(units.shape[1])

    def count(_: str, inputs: Tensor, __: Tensor) -> None:
        for rows in inputs_of(layer, inputs):
            seen.add(rows)

    with watching({name: layer}, count):
        images = show_images(extractor.vector, _shown(data, settings), progress=progress)
    everywhere = eigenspaces(seen.matrix)
    spaces = everywhere.leading(settings.leading or len(units) // 2)
    directions = len(spaces.values)
    if len(units) <= directions:
        raise ValueError(
            f"leading={settings.leading}: layer {name!r} has {len(units)} units, whose covariance "
            f"is singular on {directions} directions; keep fewer, such as {len(units) // 2}, or "
            "name other runs of this network in runs="
        )
    weights = covariance(units)
    result = _score(spaces, weights, units=len(units), settings=settings, progress=progress)
    curve = dict(
        layer=name,
        images=images,
        pooled=list(settings.runs),
        sigma=everywhere.deviations.tolist(),
        transfer=transfer(everywhere, weights).tolist(),
    )
    facts = dict(units=len(units), dimension=units.shape[1], directions=directions)
    return Result(result.metrics, result.counts | curve, facts=facts)


def _shown(data: ClassFolder, settings: Settings) -> Shown:
    return Shown(
        data.val, settings.images, settings.size, settings.crop_fraction, settings.batch_size
    )


def _pooled(extractor: FeatureExtractor, settings: Settings, layer: nn.Module) -> list[Tensor]:
    """The units (n, d) of the same layer in every further run.

    Raises:
        ValueError: another shape, or another normalisation of the images, so that inputs differ.
    """
    units = []
    for spec in settings.runs:
        other = FeatureExtractor.load(spec, extractor.weights)
        name, same = numbered(layers_of(other, WEIGHTED, settings.size), settings.layer)
        here, there = tuple(layer.weight.shape), tuple(same.weight.shape)
        if here != there:
            raise ValueError(
                f"runs: {spec}: layer {name!r} is {there}, the network's own {here}; name runs of "
                "the same architecture"
            )
        if (other.mean, other.std) != (extractor.mean, extractor.std):
            raise ValueError(
                f"runs: {spec} sees images normalised by mean {other.mean}, std {other.std}, the "
                f"network by {extractor.mean}, {extractor.std}; their units see other inputs"
            )
        units.append(units_of(name, same))
    return units


def _score(
    spaces: Eigenspaces,
    weights: Tensor,
    *,
    units: int,
    settings: Settings,
    progress: Progress | None,
) -> Result:
    """Metrics and the draws that they are means of."""
    own = misalignment(spaces, weights)
    if progress:
        progress("controls", 0, 2)
    control = random_misalignments(spaces, weights, bases=settings.bases, seed=settings.seed)
    if progress:
        progress("controls", 1, 2)
    floor = simulated_floor(spaces.sizes, units, draws=settings.draws, seed=settings.seed)
    lower = sum(value <= own for value in control)
    metrics = dict(
        misalignment=Metric(own, "1", "lower"),
        random_basis=Metric(statistics.fmean(control), "1", "lower"),
        floor=Metric(statistics.fmean(floor), "1", "lower"),
        random_not_above=Metric(100 * lower / len(control), "%", "lower"),
    )
    per_draw = dict(random_basis=control, floor=floor)
    return Result(metrics, dict(per_draw=per_draw, eigenspaces=list(spaces.sizes)))


def _isotropic(
    data: ClassFolder,
    settings: Settings,
    *,
    units: int,
    dimension: int,
    directions: int,
    progress: Progress | None = None,
) -> Result:
    """As many units from N(0, I), which no direction is special to: aligned with any inputs, but
    for their number.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    drawn = torch.randn(units, directions, dtype=torch.float64, generator=generator)
    values = torch.ones(directions, dtype=torch.float64)
    axes = Eigenspaces(values, torch.diag(values), (1,) * directions)
    result = _score(axes, covariance(drawn), units=units, settings=settings, progress=progress)
    facts: dict[str, Any] = dict(units=units, dimension=dimension, directions=directions)
    return Result(result.metrics, result.counts, facts=facts)


BENCHMARK = Benchmark(
    name="alignment",
    about="whether a layer's units are aligned with its inputs' directions",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=("misalignment", "random_basis", "floor", "random_not_above"),
    quick=dict(size=64, images=100, draws=5),
    baselines=dict(isotropic=_isotropic),
    baseline_needs=("units", "dimension", "directions"),
    figures=(ALIGNMENT,),
)
