"""Linear-probe depth: the benchmark ``depth_probe``.

A 1×1 convolution from the features to one channel. ``loss="metric"`` learns metres by the mean
squared error, and is scored as it is and, beside, after aligning scale and shift per image.
``loss="relative"`` learns depth up to scale and shift by the loss published with MiDaS and has
aligned scores only. Which number is aligned shows in its name; the two must not be compared with
each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.benchmark import Benchmark, Result
from benchmarks.core.extractor import FeatureExtractor
from benchmarks.data import DepthFolder
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen.baselines import (
    DepthByPlace,
    batches_of,
    score_everywhere,
)
from benchmarks.frozen.probe import settings as base
from benchmarks.frozen.probe.depth_tally import AlignedDepthTally
from benchmarks.frozen.probe.losses import MetricDepth, RelativeDepth
from benchmarks.frozen.probe.probing import probe_features
from benchmarks.frozen.probe.settings import QUICK, facts_of
from benchmarks.frozen.probe.stand_in import colour_position, stand_in
from pretrain.names import check_choice
from pretrain.progress import Progress

METRICS = ("RMSE", "delta1", "aligned_RMSE", "aligned_delta1")
LOSSES = {"metric": MetricDepth, "relative": RelativeDepth}


@dataclass(frozen=True)
class Settings(base.Settings):
    """The settings of probes, and the loss."""

    # metric: metres, mean squared error; relative: blind to scale and shift of each image
    loss: str = "metric"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("loss", self.loss, LOSSES)


class DepthTargets:
    """Mean and deviation of the known depths."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)  # count, sum, sum of squares

    def add(self, masks: Tensor) -> None:
        """Sees depth maps (B, H, W), metres, 0 = unknown."""
        depths = masks[masks > 0].double()
        self._sums += torch.stack(
            [depths.new_tensor(len(depths)), depths.sum(), depths.square().sum()]
        )

    def scale_and_shift(self) -> tuple[float, float]:
        """Deviation (1 where there is none) and mean in metres.

        Raises:
            ValueError: no depth is known.
        """
        count, total, squares = self._sums.tolist()
        if not count:
            raise ValueError(
                "no depth of the train part is known: its maps hold 0 only; check depth="
            )
        variance = squares / count - (total / count) ** 2
        return variance**0.5 if variance > 0 else 1.0, total / count


def run(
    extractor: FeatureExtractor,
    data: DepthFolder,
    settings: Settings,
    *,
    progress: Progress | None = None,
) -> Result:
    """Trains and scores a linear depth probe; arguments and errors as
    :func:`benchmarks.frozen.probe.segmentation.run`.

    Returns:
        RMSE and aligned_RMSE (metres), delta1 and aligned_delta1 (percent); those without
            ``aligned_`` for ``loss="metric"`` only. Counts per image.
    """
    tally = AlignedDepthTally(metric=settings.loss == "metric")

    def score(outputs: Tensor, batch: LabelledBatch) -> None:
        masks = batch.masks.to(outputs.device)
        depths = F.interpolate(
            outputs, size=tuple(masks.shape[1:]), mode="bilinear", align_corners=False
        )[:, 0]
        for depth, mask, image in zip(depths, masks, batch.ids, strict=True):
            tally.add(depth, mask, image)

    cost = probe_features(
        extractor,
        data,
        settings,
        outputs=1,
        loss=LOSSES[settings.loss](),
        score=score,
        targets=DepthTargets(),
        progress=progress,
    )
    return _result(tally, facts=_facts(extractor, data, settings), cost=cost)


def _facts(extractor: FeatureExtractor, data: DepthFolder, settings: Settings) -> dict[str, Any]:
    return facts_of(extractor, len(data.train), settings) | dict(alignment="scale and shift")


def _result(
    tally: AlignedDepthTally, *, facts: dict[str, Any], cost: dict[str, float] | None = None
) -> Result:
    return Result(tally.metrics(), dict(per_image=tally.per_image()), cost or {}, facts)


def _expected(data: DepthFolder, settings: Settings) -> tuple[str, ...]:
    if settings.loss == "metric":
        return METRICS
    return tuple(name for name in METRICS if name.startswith("aligned_"))


def _by_place(
    data: DepthFolder,
    settings: Settings,
    *,
    stride: int,
    everywhere: bool,
    train_stride: int | None = None,
    progress: Progress | None = None,
) -> Result:
    """The mean depth of the train part, of all pixels or at the same pixel."""
    depths = DepthByPlace(settings.size)
    for batch in batches_of(data.train, settings, phase="count", progress=progress):
        depths.add(batch.masks)
    tally = AlignedDepthTally(metric=settings.loss == "metric")
    prediction = depths.prediction(everywhere=everywhere)
    score_everywhere(tally, prediction, split=data.val, settings=settings, progress=progress)
    facts = _facts(stand_in(stride, train_stride), data, settings)
    return _result(tally, facts=facts)


BENCHMARK = Benchmark(
    name="depth_probe",
    about="depth of pixels by a linear probe",
    settings=Settings,
    run=run,
    data=DepthFolder,
    metrics=METRICS,
    expected=_expected,
    quick=QUICK,
    baselines=dict(
        mean=partial(_by_place, everywhere=True),
        position=partial(_by_place, everywhere=False),
        colour_position=colour_position(run),
    ),
    baseline_needs=("stride", "train_stride"),
    upsampled_stride=1,
    own_grid=False,
)
