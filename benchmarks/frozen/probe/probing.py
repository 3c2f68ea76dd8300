"""From an extractor and labelled images to the outputs of a trained probe."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.core.extractor import FeatureExtractor
from benchmarks.core.kept import Kept, budget_of
from benchmarks.core.maps import grid_of
from benchmarks.data import DepthFolder, SegmentationFolder
from benchmarks.data.pairs import LabelledBatch
from benchmarks.frozen.probe.images import ProbeImages
from benchmarks.frozen.probe.losses import Loss
from benchmarks.frozen.probe.readout import OwnGrid, read_out
from benchmarks.frozen.probe.settings import Settings
from benchmarks.frozen.probe.training import LinearProbe, fit, predict
from pretrain.progress import Progress


class Targets(Protocol):
    """What outputs should vary by, gathered from the train part's masks as it is encoded."""

    def add(self, masks: Tensor) -> None:
        """Sees the label maps (B, H, W) of a batch."""

    def scale_and_shift(self) -> tuple[float, float]:
        """Deviation and mean of the labels."""


def probe_features(
    extractor: FeatureExtractor,
    data: SegmentationFolder | DepthFolder,
    settings: Settings,
    *,
    outputs: int,
    loss: Loss,
    score: Callable[[Tensor, LabelledBatch], None],
    targets: Targets | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Trains a probe on the train part and hands its outputs on the val part to ``score``.

    Args:
        extractor, data, settings, progress: As :func:`benchmarks.frozen.probe.segmentation.run`.
        outputs: K.
        loss: What is minimised.
        score: Called with outputs (B, K, H', W') and the batch they belong to.
        targets: Scales the outputs; None leaves them.

    Returns:
        Cost of the record: seconds of encoding and of training, bytes kept, whether the probe was
        folded (1 or 0), and the loss over the last tenth of the steps.

    Raises:
        ValueError: size and strides do not fit, a feature that is not finite (named image), a
            diverging probe.
    """
    started = time.perf_counter()
    size = grid_of(settings.size, extractor.task_stride)
    behind = read_out(extractor.upsampler, size)
    low = settings.train_at == "low"
    kept = Kept(budget_of(settings.cache_bytes, extractor.device))
    dtype = getattr(torch, settings.weights_dtype)
    budget = kept.left
    train = ProbeImages(extractor, data.train, settings.size, kept=kept, dtype=dtype)
    mean, std = train.statistics(
        settings.batch_size, with_masks=targets.add if targets else None, progress=progress
    )
    encoded = time.perf_counter()
    scale, shift = targets.scale_and_shift() if targets else (1.0, 0.0)
    drawn = dict(initial_std=loss.initial_std, seed=settings.seed)
    probe = LinearProbe(mean, std, outputs, scale=scale, shift=shift, **drawn)
    last = fit(
        probe,
        train,
        readout=OwnGrid() if low else behind,
        loss=loss,
        size=train.grid if low else size,
        settings=settings,
        progress=progress,
    )
    trained = time.perf_counter()
    cost = dict(kept_bytes=budget - kept.left, folded=float(behind.folded), train_loss=last)
    val = ProbeImages(extractor, data.val, settings.size, kept=Kept(0), dtype=dtype)
    for predicted, batch in predict(
        probe, val, readout=behind, batch_size=settings.batch_size, progress=progress
    ):
        score(predicted, batch)
    return dict(encode_seconds=encoded - started, train_seconds=trained - encoded) | cost
