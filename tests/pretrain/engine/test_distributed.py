"""Which launcher started the process, and what pre-emption leaves of its signal handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from pretrain.engine import distributed
from pretrain.engine.build import build_runner
from pretrain.engine.distributed import detect_launcher, open_group
from pretrain.engine.preemption import SIGNALS, Preempted
from pretrain.engine.settings import ConfigError


@pytest.mark.parametrize(("environment", "launcher"), [
    ({}, "none"),
    ({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}, "pytorch"),
    ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}, "slurm"),
    ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "none"),  # the batch script itself
    ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, "none"),
])  # fmt: skip
def test_launcher_is_told_by_the_environment(environment: dict[str, str], launcher: str) -> None:
    assert detect_launcher(environment) == launcher


def test_slurm_variables_become_torch_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASTER_ADDR", "node1")
    for name, value in (("PROCID", "5"), ("STEP_NUM_TASKS", "8"), ("LOCALID", "1"), ("JOB_ID", "31234")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    distributed._export_slurm_ranks()
    found = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")]
    assert found == ["5", "8", "1", "node1", "31234"]


def test_unknown_launcher_is_named() -> None:
    with pytest.raises(ConfigError, match="launcher='mpi': must be one of none, pytorch, slurm"):
        open_group("mpi")


def test_signal_stops_after_the_step_and_handlers_come_back(make_config: Callable, tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    runner = build_runner(make_config(tmp_path / "run", engine__checkpoint_every=100))
    update = runner.raw_model.update_targets
    steps: list[float] = []

    def step_then_signal(progress: float) -> None:
        update(progress)
        steps.append(progress)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGUSR2)

    runner.raw_model.update_targets = step_then_signal
    with pytest.raises(Preempted) as ended:
        runner.train()
    assert ended.value.code == 75
    assert [p.name for p in (tmp_path / "run").glob("iter_*.pth")] == ["iter_5.pth"]
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_channels_last_reaches_weights_and_images(make_config: Callable, tmp_path: Path) -> None:
    options = dict(model__backbone=dict(_delete_=True, type="TimmBackbone", name="test_resnet"))
    runner = build_runner(make_config(tmp_path / "run", **options))
    kernels = [m.weight for m in runner.raw_model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1]
    assert kernels and all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)
    assert runner.raw_model.data_preprocessor.channels_last
