"""Surface normals by a linear head: the benchmark ``normals``.

A 1×1 convolution gives three numbers per cell, resized to the image and made unit length. The head
is ours, so no published number belongs to it; the scores are the published ones, pooled over pixels
and per image (:mod:`benchmarks.frozen.surfaces.normal_scores`).

Losses, means over the known pixels of a group of images:

    cosine:  1 − n̂·n
    kappa:   κ·acos(n̂·n) + ln(1 + e^(−κπ)) − ln(κ² + 1),  κ = elu(o₄) + 1.01, o₄ a fourth output

The second is the angular likelihood of Bae et al. 2021 (arXiv 2109.09881), whose κ says how certain
a direction is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import Kept
from benchmarks.data import NormalFolder
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from benchmarks.frozen.surfaces import settings as base
from benchmarks.frozen.surfaces.normal_scores import METRICS, NormalImages
from benchmarks.frozen.surfaces.settings import QUICK
from benchmarks.frozen.surfaces.training import LinearHead, fit, make_head, on_image, predict
from benchmarks.frozen.surfaces.views import scored_batches, train_batches
from pretrain.names import check_choice
from pretrain.progress import Progress

LOSSES = {"cosine": 3, "kappa": 4}  # and their outputs
RESIZES = ("bilinear", "bicubic")
_CLOSEST = 1 - 1e-6  # cosine behind which acos has no usable gradient
STAND_IN_STRIDE = 8  # pixels per cell of the trivial predictor that sees colours


@dataclass(frozen=True)
class Settings(base.Settings):
    """The settings of linear heads on whole images, and those of normals."""

    normal_loss: str = "cosine"  # or kappa
    # of the head's map to the image; bicubic aligns the corners' centres
    resize: str = "bilinear"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("normal_loss", self.normal_loss, LOSSES)
        check_choice("resize", self.resize, RESIZES)


def normal_loss(outputs: Tensor, target: Tensor, kind: str) -> Tensor:
    """The loss of a group of images, see the module.

    Args:
        outputs: (B, 3 or 4, H, W).
        target: (B, H, W, 3) unit vectors, (0, 0, 0) = unknown.
        kind: ``cosine`` or ``kappa``.

    Returns:
        The loss; 0 without a known pixel.
    """
    known = target.any(-1)
    rows = outputs.permute(0, 2, 3, 1)[known]  # (n, 3 or 4)
    if not len(rows):
        return outputs.sum() * 0
    cosine = (F.normalize(rows[:, :3], dim=1) * target[known]).sum(1)
    if kind == "cosine":
        return (1 - cosine).mean()
    kappa = F.elu(rows[:, 3]) + 1.01
    angle = cosine.clamp(-_CLOSEST, _CLOSEST).acos()
    terms = kappa * angle + torch.log1p((-kappa * math.pi).exp()) - (kappa.square() + 1).log()
    return terms.mean()


def run(
    extractor: FeatureExtractor,
    data: NormalFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Trains and scores a head.

    Returns:
        Metrics of :mod:`benchmarks.frozen.surfaces.normal_scores`; counts per image.

    Raises:
        ValueError: a size that the network or ``sizing`` refuses, a loss that is not finite,
            nothing to score.
    """
    head = make_head(extractor, LOSSES[settings.normal_loss], settings)
    bicubic = settings.resize == "bicubic"
    on_images = partial(on_image, extractor=extractor, settings=settings, bicubic=bicubic)

    def loss(outputs: Tensor, labels: Tensor, step: int) -> Tensor:
        resized = on_images(outputs, tuple(labels.shape[1:3]))
        return normal_loss(resized, labels, settings.normal_loss)

    last = fit(
        head,
        extractor,
        train_batches(data.train, settings, mirror=mirrored),
        settings=settings,
        loss=loss,
        progress=progress,
    )

    def decode(outputs: Tensor) -> Tensor:
        return F.normalize(on_images(outputs, settings.size)[:, :3], dim=1)

    tally = _score(head, extractor, data, settings=settings, decode=decode, progress=progress)
    return _result(tally, stride=extractor.task_stride, cost=dict(train_loss=last))


def mirrored(normals: np.ndarray) -> np.ndarray:
    """Normals (h, w, 3) of a mirrored image: x changes its sign; unknown ones stay 0."""
    return normals * np.array([-1, 1, 1], normals.dtype)


def _unmirrored(normals: Tensor) -> Tensor:
    return normals * normals.new_tensor([-1, 1, 1])[:, None, None]


def _score(
    head: LinearHead,
    extractor: FeatureExtractor,
    data: NormalFolder,
    *,
    settings: Settings,
    decode: partial,
    progress: Progress | None,
) -> NormalImages:
    tally = NormalImages()
    predictions = predict(
        head,
        extractor,
        data.val,
        settings=settings,
        decode=decode,
        unmirror=_unmirrored,
        kept=Kept(0),  # there is one prediction only
        progress=progress,
    )
    for normals, batch in predictions:
        targets = batch.masks.to(normals.device)
        for normal, target, image in zip(
            normals.permute(0, 2, 3, 1), targets, batch.ids, strict=True
        ):
            tally.add(normal, target, image)
    return tally


def _result(tally: NormalImages, *, stride: int, cost: dict[str, float] | None = None) -> Result:
    averaged = "over pixels; image_…: per image, then over images"
    facts = dict(stride=stride, averaged=averaged, optimiser="adamw")
    return Result(tally.metrics(), dict(per_image=tally.per_image()), cost or {}, facts)


def _by_place(
    data: NormalFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    progress: Progress | None = None,
) -> Result:
    """The mean direction of the train part, of all pixels or at the same pixel."""
    sums = torch.zeros(*settings.size, 3, dtype=torch.float64)
    total = data.train.batch_count(settings.batch_size)
    for done, batch in enumerate(scored_batches(data.train, settings), start=1):
        sums += batch.masks.double().sum(0)
        if progress:
            progress("count", done, total)
    mean = sums.sum((0, 1)).expand_as(sums)
    prediction = mean if everywhere else torch.where(sums.any(-1, keepdim=True), sums, mean)
    tally = NormalImages()
    for batch in scored_batches(data.val, settings):
        for target, image in zip(batch.masks, batch.ids, strict=True):
            tally.add(prediction, target, image)
    return _result(tally, stride=stride)


def _colour_position(
    data: NormalFolder, settings: Settings, *, stride: int, progress: Progress | None = None
) -> Result:
    """The same head on mean colours and positions."""
    network = ColourPosition(STAND_IN_STRIDE, task_stride=stride)
    return run_stand_in(run, network, data=data, settings=settings, progress=progress)


BENCHMARK = Benchmark(
    name="normals",
    about="surface normals of pixels by a linear head, on whole images",
    settings=Settings,
    run=run,
    data=NormalFolder,
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
