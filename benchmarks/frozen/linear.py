"""Linear probe: multinomial logistic regression on frozen, standardised vectors.

With z = (x - mean) / std over the train part, minimise  mean_i CE(W z_i + b, y_i) + λ/2 · ||W||²  (b is free) by
full-batch L-BFGS, which is deterministic and needs no learning rate. λ is chosen among ``weight_decays`` on a
held-back part of TRAIN, stratified by class; then W, b are fitted anew on all of train. The validation part is looked
at once, with the final weights: the last value is the value reported.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, versions
from benchmarks.core.vectors import accuracy, check_settings, encode_split
from benchmarks.data.class_folder import ClassFolder, stratified_split
from pretrain.progress import Progress


@dataclass(frozen=True)
class Settings:
    """Every number the result depends on, apart from data and network."""

    size: int = 224  # side of the square input in pixels
    crop_fraction: float = (
        0.875  # shorter side is resized to size / crop_fraction, then the centre is cut
    )
    weight_decays: tuple[float, ...] = (
        1e-4,
        1e-3,
        1e-2,
        1e-1,
    )  # λ tried, each warm-started from the next larger one
    held_back: float = 0.2  # share of each class of TRAIN on which λ is chosen
    seed: int = 0  # of that draw
    max_iterations: int = 200  # L-BFGS, per fit
    tolerance: float = 1e-5  # stop at this largest gradient entry
    dtype: str = "float64"  # of the fit; float32 halves the memory of large sets
    batch_size: int = 64  # images encoded at once; changes speed, not the result

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_decays", tuple(map(float, self.weight_decays)))
        if not self.weight_decays or min(self.weight_decays) <= 0:
            raise ValueError(
                f"weight_decays={self.weight_decays} must be one or more numbers greater than 0"
            )
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype={self.dtype!r} must be 'float32' or 'float64'")
        check_settings(self, ("size", "max_iterations", "tolerance", "batch_size"))


def run(
    extractor: FeatureExtractor,
    data: ClassFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Record:
    """Runs the linear probe: record ``linear`` with top-1 and top-5 accuracy in percent.

    Cost: about ``max_iterations`` · n · D · C multiply-adds per weight decay.

    Raises:
        ValueError: a vector is not finite (named image), or a class of one image in train.
    """
    started = time.perf_counter()
    require_divisible(data, settings)
    options = dict(
        size=settings.size,
        batch_size=settings.batch_size,
        crop_fraction=settings.crop_fraction,
        progress=progress,
    )
    dtype = getattr(torch, settings.dtype)
    train = encode_split(extractor, data.train, phase="encode train", **options).to(
        extractor.device, dtype
    )
    val = encode_split(extractor, data.val, phase="encode val", **options).to(
        extractor.device, dtype
    )
    labels = data.train.labels.to(train.device)
    chosen, held_back_accuracy = choose_weight_decay(train, labels, data.classes, settings)
    weight, bias, mean, std = fit(train, labels, data.classes, (chosen,), settings)[chosen]
    scores = ((val - mean) / std) @ weight.T + bias
    metrics, counts = accuracy(scores.cpu(), data.val.labels)
    counts["held_back_accuracy"] = held_back_accuracy
    protocol = protocol_of(data, settings)
    cost = dict(seconds=time.perf_counter() - started, weight_decay_chosen=chosen)
    beside = versions(str(extractor.device))
    return Record(
        "linear",
        metrics,
        protocol,
        counts=counts,
        cost=cost,
        subject=extractor.describe(),
        versions=beside,
    )


def protocol_of(data: ClassFolder, settings: Settings) -> dict[str, Any]:
    """What the number depends on apart from the network."""
    return dict(
        data=data.protocol,
        size=settings.size,
        crop_fraction=settings.crop_fraction,
        held_back=settings.held_back,
        weight_decays=list(settings.weight_decays),
        seed=settings.seed,
        max_iterations=settings.max_iterations,
        tolerance=settings.tolerance,
        dtype=settings.dtype,
    )


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
    vectors: Tensor, labels: Tensor, classes: int, settings: Settings
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
    kept, held = (
        torch.from_numpy(part).to(vectors.device)
        for part in stratified_split(labels.cpu().numpy(), settings.held_back, settings.seed)
    )
    results = {}
    fits = fit(vectors[kept], labels[kept], classes, settings.weight_decays, settings)
    for weight_decay, (weight, bias, mean, std) in fits.items():
        predicted = (((vectors[held] - mean) / std) @ weight.T + bias).argmax(1)
        results[weight_decay] = 100 * (predicted == labels[held]).double().mean().item()
    best = max(results, key=lambda w: (results[w], w))
    return best, {str(w): results[w] for w in sorted(results)}


def fit(
    vectors: Tensor,
    labels: Tensor,
    classes: int,
    weight_decays: tuple[float, ...],
    settings: Settings,
) -> dict[float, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Fits the probe for every λ, from the largest down, each starting at the solution before (the
    path is short).

    Args:
        vectors: (n, D).
        labels: (n,) int64.
        classes: C.
        weight_decays: λ.
        settings: ``max_iterations`` and ``tolerance``.

    Returns:
        λ -> weight (C, D), bias (C,), mean (D,) and std (D,) of the standardisation; a constant
        channel has std 1.
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
        fits[weight_decay] = weight.detach().clone(), bias.detach().clone(), mean, std
    return fits
