"""Throughput: rates from a clock that the test turns by hand."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS
from torch import nn

from pretrain.hooks import throughput
from pretrain.hooks.throughput import ThroughputHook, peak_memory

STEP, WAIT, LATER_WAIT, OTHER = (
    3.0,
    1.0,
    0.5,
    0.25,
)  # seconds: work, first and later micro-batch, other hooks


class Run:
    """A runner whose time is simulated."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(throughput.time, "perf_counter", lambda: self.now)
        self.runner = SimpleNamespace(
            iter=0,
            max_iters=100,
            raw_model=nn.Linear(1, 1),
            train_loop=SimpleNamespace(data_wait=0.0, accumulate=2),
            schedule=SimpleNamespace(global_batch=30),
            logger=logging.getLogger("throughput"),
            message_hub=MessageHub(f"throughput_{torch.rand(1).item()}"),
            optim_wrapper=SimpleNamespace(dtype=None),
        )

    def steps(self, hook: ThroughputHook, count: int) -> None:
        loop = self.runner.train_loop
        for _ in range(count):
            self.now += WAIT
            loop.data_wait = WAIT
            hook.before_train_iter(self.runner, self.runner.iter)
            self.now += STEP + LATER_WAIT
            loop.data_wait += LATER_WAIT
            hook.after_train_iter(self.runner, self.runner.iter, None, {})
            self.now += OTHER
            self.runner.iter += 1

    def value(self, name: str) -> float:
        return self.runner.message_hub.get_scalar(f"train/watch/{name}").current()


def test_rates_count_everything_and_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    run, hook = (
        Run(monkeypatch),
        HOOKS.build(dict(type="ThroughputHook", every=4, efficiency_at=None)),
    )
    hook.before_train(run.runner)
    run.steps(hook, 8)
    elapsed = 4 * (STEP + WAIT + LATER_WAIT + OTHER)  # a full window: the second one
    assert run.value("images_per_s") == pytest.approx(4 * 30 / elapsed)
    assert run.value("data_wait") == pytest.approx(4 * (WAIT + LATER_WAIT) / elapsed)
    assert run.value("peak_memory_gib") == pytest.approx(peak_memory(torch.device("cpu")), rel=0.2)


class FakePasses:
    """Bare passes of 1.2 s per micro-batch."""

    clock: Run

    def __init__(self, model: object, batch: object, dtype: object) -> None:
        assert batch == "prepared"

    def measure(self) -> dict[str, float]:
        self.clock.now += 50
        return {"online global[0]": 0.9, "target global[0]": 0.3}


def test_efficiency_compares_bare_passes_with_the_step_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, hook = Run(monkeypatch), ThroughputHook(every=5, efficiency_at=8)
    FakePasses.clock = run
    monkeypatch.setattr(throughput, "BarePasses", FakePasses)
    run.runner.raw_model.data_preprocessor = lambda batch, training: {"batch": "prepared"}
    hook.before_train(run.runner)
    run.steps(hook, 10)
    assert run.value("step_efficiency") == pytest.approx(2 * 1.2 / STEP)  # two micro-batches
    # The 150 s of measuring are not the run's.
    assert run.value("images_per_s") == pytest.approx(30 / (STEP + WAIT + LATER_WAIT + OTHER))


def test_illegal_settings_are_named() -> None:
    with pytest.raises(ValueError, match="ThroughputHook.every=0"):
        ThroughputHook(every=0)
    with pytest.raises(ValueError, match="efficiency_at=2: must be at least 5"):
        ThroughputHook(efficiency_at=2)
