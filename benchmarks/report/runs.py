"""What tables and their statistics are made of: records, and whose they are."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.core.record import Metric, Record


@dataclass(frozen=True)
class Run:
    """One record of one row of a table.

    Attributes:
        record: what was measured.
        name: what messages call the run: ``arm/seed_0``, a network.
        pair: what it shares with one run of each other row: its seed, or the network behind two
            upsamplers. Differences between rows are taken over runs of equal ``pair``; None: it
            has no partner.
        benchmark: what the names of its metrics' columns begin with, ``benchmark.metric``; empty
            in a table of one benchmark.
    """

    record: Record
    name: str = ""
    pair: Hashable = None
    benchmark: str = ""

    def column(self, metric: str) -> str:
        """Name of a metric's column."""
        return f"{self.benchmark}.{metric}" if self.benchmark else metric


@dataclass(frozen=True)
class Sample:
    """The runs of one row in one metric: what statistics compute from.

    Attributes:
        name: of the row.
        metric: its name in the records.
        runs: those that have the metric, in the order in which they were given; maybe none.
    """

    name: str
    metric: str
    runs: tuple[Run, ...]

    @property
    def values(self) -> np.ndarray:
        """(n,) float64, one value per run; NaN where a run has a metric that is not defined."""
        return np.array([metric.value for metric in self._metrics()])

    @property
    def better(self) -> str:
        """``higher`` or ``lower``, as its metric says."""
        return self._metrics()[0].better

    def paired_with(self, other: Sample) -> list[tuple[Run, Run]]:
        """This sample's runs beside those of another one with the same ``pair``."""
        partners = {run.pair: run for run in other.runs}
        pairs = []
        for run in self.runs:
            if run.pair is not None and run.pair in partners:
                pairs.append((run, partners[run.pair]))
        return pairs

    def _metrics(self) -> list[Metric]:
        return [run.record.metrics[self.metric] for run in self.runs]


def sample_of(name: str, runs: Sequence[Run], column: str) -> Sample:
    """The runs that have a metric.

    Args:
        name: of the row that the runs are of.
        runs: any of them.
        column: ``benchmark.metric``, or the metric alone where runs name no benchmark.
    """
    own, name_in_records = [], column
    for run in runs:
        for metric in run.record.metrics:
            if run.column(metric) == column:
                own.append(run)
                name_in_records = metric
    return Sample(name, name_in_records, tuple(own))
