"""Which launcher started the process; pre-emption: all ranks stop after one step, signal handlers
come back.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from pretrain.engine import distributed, sharding
from pretrain.engine.build import build_runner
from pretrain.engine.distributed import detect_launcher, open_group
from pretrain.engine.hooks import preemption
from pretrain.engine.hooks.preemption import SIGNALS, Preempted, PreemptionHook
from pretrain.engine.settings import ConfigError


@pytest.mark.parametrize(
    ("environment", "launcher"),
    [
        ({}, "none"),
        ({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost"}, "pytorch"),
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}, "slurm"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, "none"),  # the batch script itself
        ({"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, "none"),
    ],
)
def test_launcher_is_told_by_the_environment(environment: dict[str, str], launcher: str) -> None:
    assert detect_launcher(environment) == launcher


def test_slurm_variables_become_torch_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT"):
        monkeypatch.setenv(name, "to be restored")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASTER_ADDR", "node1")
    for name, value in (
        ("PROCID", "5"),
        ("STEP_NUM_TASKS", "8"),
        ("LOCALID", "1"),
        ("JOB_ID", "31234"),
    ):
        monkeypatch.setenv(f"SLURM_{name}", value)
    distributed._export_slurm_ranks()
    actual = [
        os.environ[name]
        for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    ]
    assert actual == ["5", "8", "1", "node1", "31234"]


def test_unknown_launcher_is_named() -> None:
    with pytest.raises(ConfigError, match="launcher='mpi': must be one of none, pytorch, slurm"):
        open_group("mpi")


def test_signal_stops_after_the_step_and_handlers_come_back(
    make_config: Callable, tmp_path: Path
) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    runner = build_runner(make_config(tmp_path / "run", engine__checkpoint_every=100))
    update = runner.raw_model.after_step
    steps: list[float] = []

    def step_then_signal(progress: float) -> None:
        update(progress)
        steps.append(progress)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGUSR2)

    runner.raw_model.after_step = step_then_signal
    with pytest.raises(Preempted) as ended:
        runner.train()
    assert ended.value.code == 75
    assert [p.name for p in (tmp_path / "run").glob("iter_*.pth")] == ["iter_5.pth"]
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_ctrl_c_writes_a_checkpoint_and_the_second_one_stops_at_once(
    make_config: Callable, tmp_path: Path
) -> None:
    def interrupted(name: str, presses: tuple[int, ...]) -> None:
        runner = build_runner(make_config(tmp_path / name, engine__checkpoint_every=100))
        update, steps = runner.raw_model.after_step, []

        def step_then_signal(progress: float) -> None:
            update(progress)
            steps.append(progress)
            if len(steps) == 5:
                for _ in presses:
                    os.kill(os.getpid(), signal.SIGINT)
                    time.sleep(preemption.SAME_PRESS_S)

        runner.raw_model.after_step = step_then_signal
        runner.train()

    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(Preempted) as ended:
        interrupted("once", (1,))
    assert ended.value.code == 130
    assert [p.name for p in (tmp_path / "once").glob("iter_*.pth")] == ["iter_5.pth"]
    with pytest.raises(KeyboardInterrupt):
        interrupted("twice", (1, 2))
    assert not [*(tmp_path / "twice").glob("*.pth")]
    assert [signal.getsignal(number) for number in SIGNALS] == before


def _preempted_rank(rank: int, port: int, folder: Path, number: int) -> None:
    """Runs eight steps of which rank 1 gets the signal in the third; notes after which steps it was
    to stop.
    """
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    saved: list[int] = []
    runner = SimpleNamespace(
        train_loop=SimpleNamespace(iter=0, max_iters=100, stop=False),
        call_hook=lambda name, steps: saved.append(steps),
        logger=logging.getLogger("preemption"),
        visualizer=SimpleNamespace(close=lambda: None),
    )
    hook, loop = PreemptionHook(), runner.train_loop
    hook.before_train(runner)
    while not loop.stop and loop.iter < 8:
        if rank == 1 and loop.iter == 2:
            os.kill(os.getpid(), number)
        hook.after_train_iter(runner, loop.iter)
        loop.iter += 1
    try:
        hook.after_train(runner)
    except Preempted as ended:
        (folder / f"rank{rank}.txt").write_text(f"{saved} {ended.code}")
    dist.destroy_process_group()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_all_ranks_stop_after_the_same_step(
    tmp_path: Path, free_port: int, number: int, code: int
) -> None:
    mp.start_processes(
        _preempted_rank, (free_port, tmp_path, number), nprocs=2, start_method="fork"
    )
    # The third step's integers are read at the end of the fourth.
    assert [(tmp_path / f"rank{rank}.txt").read_text() for rank in (0, 1)] == [f"[4] {code}"] * 2


def test_only_the_process_that_writes_copies_the_state(
    make_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = build_runner(make_config(tmp_path / "run"))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert (
        sharding.full_state(runner.raw_model, wrapper)[0].keys()
        == runner.raw_model.state_dict().keys()
    )
    monkeypatch.setattr(sharding, "get_rank", lambda: 1)
    assert sharding.full_state(runner.raw_model, wrapper) == ({}, {})


def test_compiling_concerns_the_backbones_and_no_names(
    make_config: Callable, tmp_path: Path
) -> None:
    objectives = [dict(type="PixPro", hidden=16, dim=8)]
    plain, compiled = (
        build_runner(
            make_config(tmp_path / str(on), model__objectives=objectives, engine__compile=on)
        ).raw_model
        for on in (False, True)
    )
    for part in (compiled.backbone, compiled.target_backbone):
        assert part._compiled_call_impl is not None  # torch's mark of a module compiled in place
    assert plain.backbone._compiled_call_impl is None
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_channels_last_reaches_weights_and_images(make_config: Callable, tmp_path: Path) -> None:
    options = dict(model__backbone=dict(_delete_=True, type="TimmBackbone", name="test_resnet"))
    runner = build_runner(make_config(tmp_path / "run", **options))
    kernels = [
        m.weight
        for m in runner.raw_model.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size[0] > 1
    ]
    assert kernels and all(k.is_contiguous(memory_format=torch.channels_last) for k in kernels)
    assert runner.raw_model.data_preprocessor.channels_last
