"""Depth by a linear head over bins, as published with DINOv2 and DINOv3: the benchmark
``depth_bins``.

A 1×1 convolution gives 256 weights per cell, depth is the weighted mean of 256 fixed depths
(:func:`benchmarks.frozen.surfaces.bins.depth_of_bins`), resized bilinearly to the image. Scores are
those of each image, averaged over images (:mod:`benchmarks.frozen.surfaces.depth_scores`).

``select="best"`` looks at the scored part every ``look_every`` steps and keeps the look with the
smallest AbsRel. Published so, it flatters: the scored part chooses its own weights. The record says
it and holds all looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import Kept, budget_of
from benchmarks.data import DepthFolder
from benchmarks.data.pairs import View
from benchmarks.frozen.baselines import ColourPosition, DepthByPlace, run_stand_in
from benchmarks.frozen.surfaces import settings as base
from benchmarks.frozen.surfaces.bins import GRADIENTS, depth_of_bins, gradient_loss, sig_loss
from benchmarks.frozen.surfaces.depth_scores import METRICS, DepthImages
from benchmarks.frozen.surfaces.settings import QUICK, check_rectangle
from benchmarks.frozen.surfaces.training import fit, make_head, on_image, predict
from benchmarks.frozen.surfaces.views import scored_batches, train_batches, turned
from pretrain.names import check_choice
from pretrain.progress import Progress

SELECTIONS = ("last", "best")
STAND_IN_STRIDE = 8  # pixels per cell of the trivial predictor that sees colours
_KEPT_BYTES = 4 << 30  # of scored features between looks, if half of the free memory is more


@dataclass(frozen=True)
class Settings(base.Settings):
    """The settings of linear heads on whole images, and those of depth."""

    min_depth: float = 1e-3  # metres: first bin; depths at or below are not scored
    max_depth: float = 10.0  # metres: last bin; depths at or above are not scored
    bins: int = 256
    scored: tuple[int, ...] = ()  # (top, left, bottom, right) of the scored pixels; () scores all
    rotate: float = 0.0  # degrees: train views are turned by at most so much
    rotate_share: float = 0.5  # share of train views that are turned
    sig_weight: float = 1.0  # of the scale-invariant loss
    gradient_weight: float = 0.0  # of the gradient loss
    # its neighbours: pixels of an image, or images of a group (0 for one and two images)
    gradient_between: str = "pixels"
    # which weights are scored: the last ones, or the best of several looks at the scored part
    select: str = "last"
    look_every: int = 800  # steps between looks

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scored", tuple(self.scored))
        check_rectangle("scored", self.scored, self.size)
        check_choice("select", self.select, SELECTIONS)
        check_choice("gradient_between", self.gradient_between, GRADIENTS)
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError(
                f"min_depth={self.min_depth} and max_depth={self.max_depth} must be positive "
                "metres in this order"
            )
        if self.look_every < 1:
            raise ValueError(f"look_every={self.look_every} must be greater than 0")
        if self.bins < 2:
            raise ValueError(f"bins={self.bins} must be at least 2")
        if not 0 <= self.rotate_share <= 1:
            raise ValueError(f"rotate_share={self.rotate_share!r} must be in [0, 1]")
        for name in ("rotate", "sig_weight", "gradient_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)!r} must not be negative")


def run(
    extractor: FeatureExtractor,
    data: DepthFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Trains and scores a head.

    Returns:
        Metrics of :mod:`benchmarks.frozen.surfaces.depth_scores`; per image every one of them but
        ``pooled_RMSE``, and with ``select="best"`` the step and the AbsRel of each look.

    Raises:
        ValueError: a size that the network or ``sizing`` refuses, a loss that is not finite,
            nothing to score.
    """
    looks: dict[int, DepthImages] = {}
    head = make_head(extractor, settings.bins, settings)
    on_images = partial(_depths, extractor=extractor, settings=settings)
    kept = Kept(budget_of(_KEPT_BYTES if settings.select == "best" else 0, extractor.device))

    def look(step: int) -> None:
        tally = DepthImages(settings.min_depth, settings.max_depth, settings.scored)
        predictions = predict(
            head,
            extractor,
            data.val,
            settings=settings,
            decode=partial(on_images, size=settings.size),
            unmirror=_same,
            kept=kept,
            progress=progress,
        )
        for depths, batch in predictions:
            masks = batch.masks.to(depths.device)
            for depth, mask, image in zip(depths[:, 0], masks, batch.ids, strict=True):
                tally.add(depth, mask, image)
        looks[step] = tally

    def loss(outputs: Tensor, labels: Tensor, step: int) -> Tensor:
        depth = on_images(outputs, size=tuple(labels.shape[1:]))[:, 0]
        value = settings.sig_weight * sig_loss(depth, labels, step=step)
        if settings.gradient_weight:
            between = settings.gradient_between
            value += settings.gradient_weight * gradient_loss(depth, labels, between=between)
        return value

    batches = train_batches(
        data.train, settings, mirror=_same, augment=partial(_turn, settings=settings)
    )
    choosing = settings.select == "best"
    last = fit(
        head,
        extractor,
        batches,
        settings=settings,
        loss=loss,
        look=look,
        look_every=settings.look_every if choosing else settings.steps,
        progress=progress,
    )
    cost = dict(train_loss=last)
    return _result(looks, settings, stride=extractor.task_stride, cost=cost)


def _depths(
    outputs: Tensor, *, size: tuple[int, int], extractor: FeatureExtractor, settings: Settings
) -> Tensor:
    """Depths (B, 1, H, W) in metres of a head's outputs (B, K, h, w)."""
    depths = depth_of_bins(outputs, settings.min_depth, settings.max_depth)
    return on_image(depths, size, extractor=extractor, settings=settings)


def _same(labels: Any) -> Any:
    """Depths do not change in a mirror."""
    return labels


def _turn(view: View, rng: np.random.Generator, *, settings: Settings) -> View:
    if rng.random() >= settings.rotate_share or not settings.rotate:
        return view
    return turned(view, float(rng.uniform(-settings.rotate, settings.rotate)))


def _result(
    looks: dict[int, DepthImages],
    settings: Settings,
    *,
    stride: int,
    cost: dict[str, float] | None = None,
) -> Result:
    """The result of the look with the smallest AbsRel, the first among equals."""
    scores = {step: tally.metrics()["AbsRel"].value for step, tally in looks.items()}
    chosen = min(scores, key=scores.__getitem__)
    counts: dict[str, Any] = dict(per_image=looks[chosen].per_image())
    facts: dict[str, Any] = dict(stride=stride, averaged="per image, then over images")
    facts["optimiser"] = "adamw"
    if settings.select == "best":
        counts["looks"] = dict(step=list(scores), AbsRel=list(scores.values()), chosen=chosen)
        facts["chosen_on"] = "the scored part, smallest AbsRel"
    return Result(looks[chosen].metrics(), counts, cost or {}, facts)


def _by_place(
    data: DepthFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    progress: Progress | None = None,
) -> Result:
    """The mean depth of the train part, of all pixels or at the same pixel."""
    depths = DepthByPlace(settings.size)
    total = data.train.batch_count(settings.batch_size)
    for done, batch in enumerate(scored_batches(data.train, settings), start=1):
        depths.add(batch.masks)
        if progress:
            progress("count", done, total)
    prediction = depths.prediction(everywhere=everywhere)
    tally = DepthImages(settings.min_depth, settings.max_depth, settings.scored)
    for batch in scored_batches(data.val, settings):
        for target, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, target, image)
    return _result({0: tally}, settings, stride=stride)


def _colour_position(
    data: DepthFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """The same head on mean colours and positions."""
    network = ColourPosition(STAND_IN_STRIDE, task_stride=stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="depth_bins",
    about="depth of pixels by a linear head over bins, on whole images, scored per image",
    settings=Settings,
    run=run,
    data=DepthFolder,
    metrics=METRICS,
    quick=QUICK,
    baselines=dict(
        mean=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=_colour_position,
    ),
    baseline_needs=("stride",),
    upsampled_stride=4,
)
