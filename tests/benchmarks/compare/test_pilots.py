"""Pilots: what is trained, and what is read from it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from benchmarks.compare.executors import Local
from benchmarks.compare.executors.base import Resources
from benchmarks.compare.names import PlanError
from benchmarks.compare.pilots import (
    PILOT_STEPS,
    pilot_config,
    pilot_seconds_per_sample,
    run_pilots,
)

RECIPE = {"schedule": {"epochs": 3, "global_batch": 8}, "hooks": [{"type": "X"}]}


def test_a_pilot_is_short_and_logs_every_step() -> None:
    pilot = pilot_config(RECIPE)
    assert pilot["schedule"]["samples"] == PILOT_STEPS * 8
    assert pilot["engine"]["log_every"] == 1 and pilot["hooks"] == []
    assert RECIPE["schedule"]["epochs"] == 3


@pytest.mark.parametrize("key", ["warmup_samples", "warmup_epochs"])
def test_a_pilot_has_no_warmup(key: str) -> None:
    """It may be longer than the pilot, whose training would refuse it."""
    schedule = {**RECIPE["schedule"], key: 10_000}
    assert key not in pilot_config({**RECIPE, "schedule": schedule})["schedule"]


def test_pilot_takes_the_median_after_the_first_steps(tmp_path: Path) -> None:
    rates = [1.0] * 8 + [100.0] * 9 + [1.0] * 3
    curve = tmp_path / "curve.csv"
    pd.DataFrame({"step": range(20), "samples_per_s": rates}).to_csv(curve, index=False)
    assert pilot_seconds_per_sample(tmp_path) == pytest.approx(0.01)
    pd.DataFrame({"step": [1], "loss": [1]}).to_csv(curve, index=False)
    with pytest.raises(PlanError, match="the pilot cannot set a budget"):
        pilot_seconds_per_sample(tmp_path)


def test_a_pilot_that_fails_ends_the_comparison_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="pilot of weak failed, exit code 3 .*\n.*on fire"):
        run_pilots(
            {"weak": RECIPE},
            tmp_path,
            executor=Local(jobs=1, gpus=0, poll_seconds=0.02),
            resources=Resources(),
            trainer=(sys.executable, "-S", "-c", "print('on fire'); raise SystemExit(3)"),
            console=Console(file=io.StringIO()),
        )
