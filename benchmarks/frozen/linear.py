"""Linear probe: multinomial logistic regression on frozen, standardised vectors.

With z = (x - mean) / std over the train part, minimise

    mean_i CE(W z_i + b, y_i) + λ/2 · ||W||²

by full-batch L-BFGS, which is deterministic and needs no learning rate; b is free. λ is chosen
among ``weight_decays`` on a held-back part of TRAIN, stratified by class; then W, b are fitted anew
on all of train. The validation part is looked at once, with the final weights: the last value is
the value reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result, speed_only
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.vectors import TOP, accuracy, check_settings, encode_split, top_of
from benchmarks.data.class_folder import ClassFolder
from benchmarks.data.class_parts import stratified_split
from benchmarks.frozen.baselines import Pixels, largest_classes, run_stand_in
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: int = 224  # side of the square input in pixels
    # shorter side is resized to size / crop_fraction, then the centre is cut
    crop_fraction: float = 0.875
    # λ tried, each warm-started from the next larger one
    weight_decays: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1)
    held_back: float = 0.2  # share of each class of TRAIN on which λ is chosen
    seed: int = 0  # of that draw
    max_iterations: int = 200  # L-BFGS, per fit
    tolerance: float = 1e-5  # stop at this largest gradient entry
    dtype: str = "float64"  # of the fit; float32 halves the memory of large sets
    batch_size: int = speed_only(64)  # images encoded at once

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_decays", tuple(map(float, self.weight_decays)))
        if not self.weight_decays or min(self.weight_decays) <= 0:
            raise ValueError(
                f"weight_decays={self.weight_decays} must be one or more numbers greater than 0"
            )
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype={self.dtype!r} must be 'float32' or 'float64'")
        check_settings(self, ("size", "max_iterations", "tolerance", "batch_size"))


class Probe(NamedTuple):
    """A fitted probe: weight (C, D) and bias (C,) for vectors standardised by mean and std (D,); a
    constant channel has std 1.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor

    def scores(self, vectors: Tensor) -> Tensor:
        """(n, C) of vectors (n, D), which may lie elsewhere and in another dtype."""
        return ((vectors.to(self.weight) - self.mean) / self.std) @ self.weight.T + self.bias


@dataclass(frozen=True)
class Fitted:
    """A probe, and how it was chosen.

    Attributes:
        probe: fitted on the whole train part.
        weight_decay: λ that was chosen.
        held_back_accuracy: in percent, of each λ; empty where there was no choice.
    """

    probe: Probe
    weight_decay: float
    held_back_accuracy: dict[str, float]

    @property
    def cost(self) -> dict[str, float]:
        """What a record tells of the choice."""
        return dict(weight_decay_chosen=self.weight_decay)


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Runs the linear probe: top-1 and top-5 accuracy in percent.

    Cost: about ``max_iterations`` · n · D · C multiply-adds per weight decay.

    Raises:
        ValueError: a vector is not finite (named image), or a class of one image in train.
    """
    fitted = fit_probe(extractor, data, settings, progress=progress)
    val = encode_split(extractor, data.val, settings, phase="encode val", progress=progress)
    metrics, counts = accuracy(fitted.probe.scores(val).cpu(), data.val.labels)
    counts["held_back_accuracy"] = fitted.held_back_accuracy
    return Result(metrics, counts, fitted.cost)


class Vectors(Protocol):
    """A network as the probe sees it."""

    device: torch.device

    def vector(self, images: Tensor) -> Tensor:
        """(B, D) float32 of un-normalised images (B, 3, H, W) uint8."""


def fit_probe(
    network: Vectors,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Fitted:
    """Chooses λ and fits the probe on the train part.

    Raises:
        ValueError: as :func:`run`.
    """
    require_divisible(data, settings)
    vectors = encode_split(network, data.train, settings, phase="encode train", progress=progress)
    vectors = vectors.to(network.device, getattr(torch, settings.dtype))
    labels = data.train.labels.to(vectors.device)
    common = dict(classes=data.classes, settings=settings)
    chosen, tried = choose_weight_decay(vectors, labels, **common)
    probe = fit(vectors, labels, weight_decays=(chosen,), **common)[chosen]
    return Fitted(probe, chosen, tried)


def require_divisible(data: ClassFolder, settings: Settings) -> None:
    """Raises a ValueError that names a class with a single train image, of which a sweep can hold
    back none.
    """
    if len(settings.weight_decays) > 1:
        labels = data.train.labels.numpy()
        cure = "name a single one of weight_decays, for whose choice nothing is held back"
        stratified_split(
            labels, settings.held_back, settings.seed, names=data.class_names, cure=cure
        )


def choose_weight_decay(
    vectors: Tensor, labels: Tensor, *, classes: int, settings: Settings
) -> tuple[float, dict[str, float]]:
    """Picks λ by accuracy on a held-back part of the train vectors, the larger one among equals.

    Args:
        vectors: (n, D) train vectors.
        labels: (n,) int64.
        classes: C.
        settings: Sweep, share and seed.

    Returns:
        λ, and the held-back accuracy in percent of each λ. A sweep of one needs no choice: nothing
        is held back.
    """
    if len(settings.weight_decays) == 1:
        return settings.weight_decays[0], {}
    parts = stratified_split(labels.cpu().numpy(), settings.held_back, settings.seed)
    kept, held = (torch.from_numpy(part).to(vectors.device) for part in parts)
    results = {}
    decays = settings.weight_decays
    probes = fit(
        vectors[kept], labels[kept], classes=classes, settings=settings, weight_decays=decays
    )
    for weight_decay, probe in probes.items():
        predicted = probe.scores(vectors[held]).argmax(1)
        results[weight_decay] = 100 * (predicted == labels[held]).double().mean().item()
    best = max(results, key=lambda w: (results[w], w))
    return best, {str(w): results[w] for w in sorted(results)}


def fit(
    vectors: Tensor,
    labels: Tensor,
    *,
    classes: int,
    settings: Settings,
    weight_decays: tuple[float, ...],
) -> dict[float, Probe]:
    """Fits the probe for every λ, from the largest down, each starting at the solution before (the
    path is short).

    Args:
        vectors: (n, D).
        labels: (n,) int64.
        classes: C.
        settings: ``max_iterations`` and ``tolerance``.
        weight_decays: λ.

    Returns:
        λ -> probe.
    """
    mean, std = vectors.mean(0), vectors.std(0, correction=0)
    std = torch.where(std > 1e-12 * std.max().clamp_min(1), std, torch.ones_like(std))
    standard = (vectors - mean) / std
    weight = vectors.new_zeros(classes, vectors.shape[1], requires_grad=True)
    bias = vectors.new_zeros(classes, requires_grad=True)
    fits = {}
    for weight_decay in sorted(weight_decays, reverse=True):
        optimiser = torch.optim.LBFGS(
            [weight, bias],
            max_iter=settings.max_iterations,
            tolerance_grad=settings.tolerance,
            tolerance_change=0.0,
            history_size=20,
            line_search_fn="strong_wolfe",
        )

        def closure(
            weight_decay: float = weight_decay, optimiser: torch.optim.Optimizer = optimiser
        ) -> Tensor:
            optimiser.zero_grad()
            loss = (
                F.cross_entropy(standard @ weight.T + bias, labels)
                + weight_decay / 2 * weight.square().sum()
            )
            loss.backward()
            return loss

        with torch.enable_grad():
            optimiser.step(closure)
        fits[weight_decay] = Probe(weight.detach().clone(), bias.detach().clone(), mean, std)
    return fits


def _majority(data: ClassFolder, settings: Settings, *, progress: Progress | None = None) -> Result:
    return Result(*largest_classes(data))


def _pixels(data: ClassFolder, settings: Settings, *, progress: Progress | None = None) -> Result:
    return run_stand_in(run, Pixels(), data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="linear",
    about="classes of images by logistic regression",
    settings=Settings,
    run=run,
    data=ClassFolder,
    metrics=TOP,
    expected=top_of,
    quick=dict(size=96, weight_decays=(1e-2,)),
    baselines=dict(majority=_majority, pixels=_pixels),
)
