"""The probe's trivial predictor that sees colours: what both probes run it on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.core.benchmark import Result
from benchmarks.frozen.baselines import ColourPosition, run_stand_in
from pretrain.progress import Progress


def stand_in(stride: int, train_stride: int | None) -> ColourPosition:
    """Mean colours and positions on the grids of a network.

    Args:
        stride: pixels per output of the probe.
        train_stride: pixels per feature that it is trained on; None = ``stride``.
    """
    return ColourPosition(train_stride or stride, task_stride=stride)


def colour_position(run: Callable[..., Result]) -> Callable[..., Result]:
    """Returns the predictor: the probe ``run`` of mean colours and positions."""

    def predictor(
        data: Any,
        settings: Any,
        *,
        stride: int,
        train_stride: int | None = None,
        progress: Progress | None = None,
    ) -> Result:
        network = stand_in(stride, train_stride)
        return run_stand_in(run, network, data=data, settings=settings, progress=progress)

    return predictor
