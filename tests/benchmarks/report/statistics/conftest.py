"""Samples of one metric from plain numbers, and the example that the statistics are proved on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.core.record import Metric, Record
from benchmarks.report.runs import Run, Sample

MakeSamples = Callable[..., list[Sample]]


@pytest.fixture
def example() -> dict[str, tuple[float, ...]]:
    """Four arms, three seeds."""
    return dict(
        a=(30.1, 31.4, 29.8), b=(30.9, 32.6, 30.7), c=(28.0, 29.9, 28.4), d=(22.8, 23.1, 22.6)
    )


@pytest.fixture
def samples() -> MakeSamples:
    """``samples(arm -> values by seed, …)``; a value None is a failed trial."""

    def make(
        values: Mapping[str, Sequence[float | None]],
        *,
        better: str = "higher",
        counts: Callable[[str, int], dict[str, Any]] = lambda arm, seed: {},
    ) -> list[Sample]:
        made = []
        for arm, own in values.items():
            runs = []
            for seed, value in enumerate(own):
                if value is not None:
                    metrics = {"x": Metric(float(value), "%", better)}
                    record = Record("toy", metrics, {}, counts(arm, seed))
                    runs.append(Run(record, f"{arm}/seed_{seed}", pair=seed, benchmark="toy"))
            made.append(Sample(arm, "x", tuple(runs)))
        return made

    return make


@pytest.fixture
def image_samples(samples: MakeSamples) -> Callable[..., list[Sample]]:
    """Samples of a metric that is a mean over images: from an array (arms, seeds, images) of 0 and
    1, and the images' groups if they have any.
    """

    def make(right: np.ndarray, groups: Sequence[int] | None = None) -> list[Sample]:
        def counts(arm: str, seed: int) -> dict[str, Any]:
            own = dict(x=right[int(arm), seed].tolist())
            return own if groups is None else own | dict(groups=list(groups))

        means = 100 * right.mean(2)
        return samples({str(arm): row.tolist() for arm, row in enumerate(means)}, counts=counts)

    return make
