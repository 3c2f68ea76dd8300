"""What the arms of a comparison cost, and what their trainings say of themselves: columns of the
table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    # of DenseStructureHook, where a training has it
    Column("dse_samples", "best DSE at", digits=0),
    Column("cosine_to_start", "start cosine", digits=3),
)


ALLOWED = 0.01  # by which what arms spend of an equal budget may differ
UNITS = {"samples": "samples", "flops": "PFLOPs", "seconds": "seconds of training"}


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


def spent_of_budget(kind: str, costs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Returns arm -> what its trials spent on average, in the unit of the budget; arms of which it
    is not known are left out.

    Args:
        kind: ``samples``, ``flops`` or ``seconds``.
        costs: as in :func:`mean_costs`.
    """
    column, factor = {
        "samples": ("samples", 1),
        "flops": ("pflops", 1),
        "seconds": ("minutes", 60),
    }[kind]
    spent = {}
    for arm, own in mean_costs(costs).items():
        if column in own:
            spent[arm] = own[column] * factor
    return spent


def budget_sentence(
    kind: str, spent: Mapping[str, float], *, arms: str = "all trained arms"
) -> str:
    """Returns which budget was equal, and the arms that spent over 1 % more than the least of it.

    Args:
        kind: ``samples``, ``flops`` or ``seconds``.
        spent: arm -> what it spends, in ``UNITS``; at least one.
        arms: which these are, in words.
    """
    least = min(spent, key=lambda arm: spent[arm])
    above = []
    for arm, amount in spent.items():
        if amount > spent[least] * (1 + ALLOWED):
            above.append(f"{arm} {amount / spent[least] - 1:+.1%}".replace("%", " %"))
    unit = UNITS[kind]
    most = max(spent.values()) / spent[least] - 1
    if not above:
        return (
            f"Budget: equal {unit} in {arms}, {spent[least]:,.6g} per trial; they differ "
            f"by {most:.2%}".replace("%", " %")
            + ". The other costs are what that took."
        )
    cure = (
        "the pilot's speed did not last, so take flops or samples, or a machine that does nothing "
        "else"
        if kind == "seconds"
        else "their steps are too large for this budget; a larger one, or smaller batches, cure it"
    )
    return (
        f"Budget NOT equal: of {unit}, {least} spends the least, {spent[least]:,.6g} per trial; "
        f"over 1 % more: {', '.join(above)} ({cure})."
    )
