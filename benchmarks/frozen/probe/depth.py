"""Linear-probe depth: the benchmark ``depth_probe``.

A 1×1 convolution from the features to one channel. ``loss="metric"`` learns metres by the mean
squared error, and is scored as it is and, beside, after aligning scale and shift per image.
``loss="relative"`` learns depth up to scale and shift by the loss published with MiDaS and has
aligned scores only. Which number is aligned shows in its name; the two must not be compared with
each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.record import Record, versions
from benchmarks.data import DepthFolder
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen.probe import settings as base
from benchmarks.frozen.probe.depth_tally import AlignedDepthTally
from benchmarks.frozen.probe.losses import MetricDepth, RelativeDepth
from benchmarks.frozen.probe.probing import probe_features
from pretrain.names import check_choice
from pretrain.progress import Progress

LOSSES = {"metric": MetricDepth, "relative": RelativeDepth}


@dataclass(frozen=True)
class Settings(base.Settings):
    """The settings of probes, and the loss."""

    loss: str = (
        "metric"  # metres, mean squared error; relative: blind to scale and shift of each image
    )

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
) -> Record:
    """Trains and scores a linear depth probe; arguments and errors as
    :func:`benchmarks.frozen.probe.segmentation.run`.

    Returns:
        Record ``depth_probe``: RMSE and aligned_RMSE (metres, lower is better), delta1 and
        aligned_delta1 (percent, higher is better); those without ``aligned_`` for ``loss="metric"``
        only. Counts per image.
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
    return record_of(tally, protocol_of(extractor, data, settings), cost, extractor)


def protocol_of(
    extractor: FeatureExtractor, data: DepthFolder, settings: Settings
) -> dict[str, Any]:
    """What the number depends on apart from network and upsampler."""
    return base.protocol_of(extractor, data, settings) | dict(
        loss=settings.loss, alignment="scale and shift"
    )


def record_of(
    tally: AlignedDepthTally,
    protocol: dict[str, Any],
    cost: dict[str, float],
    extractor: FeatureExtractor,
) -> Record:
    """Turns errors into a record; ``extractor`` needs ``describe()`` and ``device``."""
    counts = dict(per_image=tally.per_image())
    beside = versions(str(extractor.device))
    return Record(
        "depth_probe", tally.metrics(), protocol, counts, cost, extractor.describe(), beside
    )
