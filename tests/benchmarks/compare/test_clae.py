"""The two comparisons of CLAE with its baseline: one experiment, judged by samples and by FLOPs."""

from __future__ import annotations

from benchmarks.compare.budget import count_flops_per_sample, samples_for
from benchmarks.compare.configs import differences, flatten
from benchmarks.compare.plan import load_plan


def test_clae_trains_equally_long_in_both_and_its_baseline_longer_by_flops() -> None:
    by_samples, by_flops = (
        load_plan(f"configs/comparisons/{name}.py") for name in ("clae", "clae_compute")
    )
    assert (by_samples.budget_kind, by_flops.budget_kind) == ("samples", "flops")
    configs = [
        {t.arm.name: t.config for t in plan.trials if t.seed == 0}
        for plan in (by_samples, by_flops)
    ]
    assert all(configs[0][arm] == configs[1][arm] for arm in ("SimCLR", "CLAE"))
    assert by_samples.benchmarks == by_flops.benchmarks
    changed = differences(flatten(configs[0]["SimCLR"]), flatten(configs[0]["CLAE"]))
    assert changed and all(line.startswith("model.objectives.0.") for line in changed)
    amount, batch = by_flops.budget_amount, configs[0]["CLAE"]["schedule"]["global_batch"]
    samples = {
        arm: samples_for(
            "flops",
            amount,
            global_batch=batch,
            cost_per_sample=count_flops_per_sample(configs[1][arm]),
        )
        for arm in ("SimCLR", "CLAE")
    }
    assert samples["CLAE"] == by_samples.budget_amount
    assert 1.8 < samples["SimCLR"] / samples["CLAE"] < 1.9
