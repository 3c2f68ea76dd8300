"""Patch logistic regression: each patch gets the class that most of its pixels are expected to
have, by multinomial logistic regression on the patch's features.

With n train patches x_i, their most frequent classes y_i, and C the inverse strength of the
penalty, W and b minimise by L-BFGS, from zero,

    Σ_i CE(W · x_i + b, y_i) / n + |W|² / (2 · C · n),

which has the minimum of ``C · Σ CE + |W|² / 2``, the form in which C is published; b is free. C is
chosen on held-back images (Darcet et al. 2025, arXiv 2502.08769). Cost about 4 · n · D · classes
multiply-adds per step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.scores import SEGMENTATION_METRICS
from benchmarks.data import SegmentationFolder
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.patch_labels.choosing import Classifier, choose, score
from benchmarks.frozen.patch_labels.patches import Patches, Standardiser, train_patches
from benchmarks.frozen.patch_labels.settings import PatchSettings, check_positive
from pretrain.progress import Progress

NAME = "patch_logistic"
#: C, 8 values evenly spaced in their logarithm.
STRENGTHS = tuple(10.0 ** (-6 + 11 * step / 7) for step in range(8))
_PIECE = 1 << 15  # patches whose scores are there at once


@dataclass(frozen=True)
class Settings(PatchSettings):
    """Every number the result depends on, apart from data and network. The defaults are CAPI's."""

    inverse_penalties: tuple[float, ...] = STRENGTHS  # C, of which one is chosen
    iterations: int = 1000  # of L-BFGS at most
    # it ends where no entry of the gradient is larger, or the loss falls by a smaller share
    tolerance: float = 1e-12
    memory: int = 5  # steps that L-BFGS remembers
    line_search: int = 50  # evaluations of one line search at most

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(
            self, "inverse_penalties", "iterations", "tolerance", "memory", "line_search"
        )


class Regression:
    """A fitted classifier of patches.

    Attributes:
        weight: (classes, D), of those that occur among the patches that it was fitted to.
        bias: (classes,).
        labels: (classes,) int16, which these are, counted from 1.
    """

    def __init__(self, patches: Patches, inverse_penalty: float, *, settings: Settings) -> None:
        self._standard = Standardiser.of(patches.features, standardise=settings.standardise)
        self._pixels = patches.labels.shape[1]
        self.labels, targets = patches.most.unique(return_inverse=True)
        weight = minimise(
            self._standard(patches.features),
            targets,
            classes=len(self.labels),
            inverse_penalty=inverse_penalty,
            settings=settings,
        )
        self.weight, self.bias = weight[:, :-1], weight[:, -1]

    def __call__(self, features: Tensor) -> Tensor:
        """Labels (Q, p²) int16 of features (Q, D): one for a whole patch."""
        scores = self._standard(features) @ self.weight.T + self.bias
        return self.labels[scores.argmax(1)][:, None].expand(-1, self._pixels)


def minimise(
    features: Tensor,
    targets: Tensor,
    *,
    classes: int,
    inverse_penalty: float,
    settings: Settings,
) -> Tensor:
    """Fits the regression.

    Args:
        features: (n, D) float32 or float64, standardised.
        targets: (n,) int64 in [0, classes).
        classes: how many.
        inverse_penalty: C.
        settings: of L-BFGS.

    Returns:
        (classes, D + 1) in the features' dtype, the bias last.
    """
    shape = classes, features.shape[1] + 1
    penalty = 1 / (inverse_penalty * len(features))

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weight = torch.from_numpy(flat).view(shape).to(features)
        loss, gradient = cross_entropy(features, targets, weight)
        slopes = torch.from_numpy(flat).view(shape).clone()
        slopes[:, -1] = 0  # the bias is free
        loss += penalty / 2 * float(slopes.square().sum())
        return loss, (gradient.cpu() + penalty * slopes).flatten().numpy()

    best, _, _ = fmin_l_bfgs_b(
        loss_and_gradient,
        np.zeros(math.prod(shape)),
        m=settings.memory,
        factr=settings.tolerance / np.finfo(np.float64).eps,
        pgtol=settings.tolerance,
        maxiter=settings.iterations,
        maxfun=settings.iterations * settings.line_search,
        maxls=settings.line_search,
    )
    return torch.from_numpy(best).view(shape).to(features)


def cross_entropy(features: Tensor, targets: Tensor, weight: Tensor) -> tuple[float, Tensor]:
    """Mean cross-entropy and its gradient, both summed in double, piece by piece.

    Args:
        features: (n, D).
        targets: (n,).
        weight: (classes, D + 1), the bias last.

    Returns:
        The loss, and the gradient (classes, D + 1) float64.
    """
    loss = 0.0
    gradient = torch.zeros(weight.shape, dtype=torch.float64, device=features.device)
    for part, own in zip(features.split(_PIECE), targets.split(_PIECE), strict=True):
        logs = torch.log_softmax(part @ weight[:, :-1].T + weight[:, -1], 1)  # (m, classes)
        loss -= float(logs.gather(1, own[:, None]).double().sum())
        errors = logs.exp()
        errors[torch.arange(len(own), device=own.device), own] -= 1
        gradient[:, :-1] += (errors.T @ part).double()
        gradient[:, -1] += errors.double().sum(0)
    return loss / len(features), gradient / len(features)


def run(
    extractor: FeatureExtractor,
    data: SegmentationFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Chooses C, fits the train part, and scores the val part: mIoU and pixel accuracy in percent.

    Raises:
        ValueError: a size that the stride does not divide, a feature that is not finite (named
            image), too few train images to choose.
        MemoryError: the train patches would not fit.
    """
    patches = train_patches(
        extractor, data.train, settings, classes=data.classes, progress=progress
    )

    def fit(kept: Patches, choices: tuple[float, ...]) -> Iterator[tuple[float, Classifier]]:
        for done, inverse_penalty in enumerate(choices, start=1):
            yield inverse_penalty, Regression(kept, inverse_penalty, settings=settings)
            if progress:
                progress("fit", done, len(choices))

    choices = settings.inverse_penalties
    chosen = choose(patches, choices, fit, settings=settings, classes=data.classes)
    ((_, classifier),) = fit(patches.labelled, (chosen.choice,))
    tally = score(extractor, data, settings, classifier=classifier, progress=progress)
    result = tally.result(NAME, facts=dict(stride=extractor.stride))
    result.counts["held_back_mIoU"] = dict(chosen.tried)
    result.counts["chosen"] = f"C={chosen.choice:.6g}"
    return result


def _colour_position(
    data: SegmentationFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """Mean colour and position of a patch as its feature."""
    network = ColourPosition(stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name=NAME,
    about="classes of patches by logistic regression",
    settings=Settings,
    run=run,
    data=SegmentationFolder,
    metrics=SEGMENTATION_METRICS,
    quick=dict(size=(112, 112), inverse_penalties=(0.1,), iterations=100),
    baselines=dict(colour_position=_colour_position),
    baseline_needs=("stride",),
)
