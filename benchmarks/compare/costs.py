"""What the arms of a comparison cost: columns of the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmarks.report.table import Column

COSTS = (
    Column("samples", digits=0),
    Column("images_per_s", "images/s", digits=0),
    Column("minutes", digits=1),
    Column("peak_memory_gb", "peak GB"),
    Column("pflops", "PFLOPs", digits=3),
    Column("device_seconds", "device-s", digits=0),
    Column("tuning_minutes", "tuning min", digits=1),
)


def mean_costs(costs: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Returns arm -> cost -> mean over the trials that know it.

    Args:
        costs: a dict per trial: ``arm`` and names of ``COSTS``.
    """
    if not costs:
        return {}
    names = [cost.name for cost in COSTS]
    frame = pd.DataFrame(costs).reindex(columns=["arm", *names])
    means = frame.astype(dict.fromkeys(names, "float64")).groupby("arm").mean()
    return {arm: row.dropna().to_dict() for arm, row in means.iterrows()}
