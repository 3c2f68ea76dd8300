"""Pilots: short trainings that measure what a sample costs an arm in seconds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare.budget import recipe_hash, with_samples, without_warmup
from benchmarks.compare.configs import write_config
from benchmarks.compare.executors.base import Executor, Job, Resources
from benchmarks.compare.jobs import job_environment
from benchmarks.compare.names import PlanError
from benchmarks.compare.progress import run_watched

PILOT_STEPS = 24
PILOT_SKIP = 8  # first steps of the pilot, which pay for allocation and for filling the loader


def run_pilots(
    configs: dict[str, dict[str, Any]],
    folder: Path,
    *,
    executor: Executor,
    resources: Resources,
    trainer: Sequence[str],
    console: Console,
) -> dict[str, float]:
    """Trains every arm for a few steps, as many at once as the comparison will.

    Args:
        configs: arm -> resolved recipe.
        folder: gets one folder per pilot.
        executor: runs the pilots, and later the trials.
        resources: of a trial.
        trainer: command that trains; gets ``CONFIG --work-dir DIR`` appended.
        console: where progress is shown.

    Returns:
        arm -> seconds per sample.

    Raises:
        PlanError: a pilot failed or logged no throughput.
    """
    jobs = []
    for arm, config in configs.items():
        work_dir = folder / f"{arm}_{recipe_hash(config)}"
        shutil.rmtree(work_dir, ignore_errors=True)
        file = work_dir / "config.py"
        write_config(pilot_config(config), file, header=f"pilot of {arm}")
        command = (*trainer, str(file), "--work-dir", str(work_dir))
        name = f"pilot of {arm}"
        jobs.append(Job(name, command, work_dir, job_environment(), resources=resources))
    failures = run_watched(executor, jobs, console=console)
    if failures:
        messages = [f"{f.name} failed, {f.reason} ({f.log}):\n{f.tail()}" for f in failures]
        raise PlanError("\n".join(messages))
    return {
        arm: pilot_seconds_per_sample(job.directory) for arm, job in zip(configs, jobs, strict=True)
    }


def pilot_config(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the recipe cut down to a pilot of ``PILOT_STEPS`` steps, each logged, nothing saved
    on the way, without the warm-up, which may be longer.
    """
    samples = PILOT_STEPS * int(config["schedule"]["global_batch"])
    config = without_warmup(with_samples(config, samples))
    config.setdefault("engine", {}).update(log_every=1, checkpoint_every=10**9)
    config["hooks"] = []
    return config


def pilot_seconds_per_sample(work_dir: Path) -> float:
    """Returns the median seconds per sample in a pilot's ``curve.csv`` (its first steps left out).

    Raises:
        PlanError: the pilot logged no throughput.
    """
    import pandas as pd

    curve = pd.read_csv(work_dir / "curve.csv")
    if "samples_per_s" not in curve or len(curve) <= PILOT_SKIP:
        raise PlanError(
            f"{work_dir}/curve.csv: no samples_per_s after {PILOT_SKIP} steps; the pilot cannot "
            "set a budget"
        )
    return float((1.0 / curve["samples_per_s"].iloc[PILOT_SKIP:]).median())
