"""A run small enough to be repeated: 24 images of 32 px, a ViT of 2 blocks, 12 steps, about a
second.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads; the subprocesses compared with run with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_config(image_folder: Path) -> Callable[..., PretrainConfig]:
    """Returns ``make(work_dir, **overrides)``; overrides: dotted keys, ``__`` for dots."""

    def make(work_dir: Path, **overrides: Any) -> PretrainConfig:
        view = dict(size=32, jitter=dict(brightness=0.4, contrast=0.4), grey=0.2)
        vit = dict(type="TimmBackbone", name="vit_tiny_patch16_224", patch_size=8, img_size=32)
        cfg = PretrainConfig(
            dict(
                # No BatchNorm anywhere: results then do not depend on how a batch is split.
                model=dict(
                    type="Pretrainer",
                    backbone=dict(vit, embed_dim=24, depth=2, num_heads=2),
                    objectives=[dict(type="Supervised", num_classes=3)],
                ),
                source=dict(type="ImageFolder", root=str(image_folder)),
                views=dict(type="ViewRecipe", groups={"global": [view, view]}),
                loader=dict(workers=0),
                schedule=dict(global_batch=4, samples=48, warmup_samples=8, lr_rule="none", lr=0.1),
                optimizer=dict(type="SGD", momentum=0.9),
                engine=dict(checkpoint_every=3, keep_checkpoints=100, log_every=1),
                seed=3,
                work_dir=str(work_dir),
                vis_backends=[],
            )
        )
        # A copy, because merging takes the key "_delete_" out of what it is given.
        cfg.merge_from_dict(
            {key.replace("__", "."): copy.deepcopy(value) for key, value in overrides.items()}
        )
        return cfg

    return make


@pytest.fixture
def train() -> Callable[..., dict[str, Any]]:
    """Returns ``train(cfg, resume=False)``, which trains in this process and returns the last full
    checkpoint.
    """

    def run(cfg: Config, resume: bool | str | Path = False) -> dict[str, Any]:
        runner = build_runner(cfg, resume=resume)
        runner.train()
        return load(Path(cfg.work_dir) / f"iter_{runner.max_iters}.pth")

    return run


class Dies(Hook):
    """Ends the training process's loop after ``step`` optimiser steps, as abruptly as an exception
    can.
    """

    priority = "LOWEST"

    def __init__(self, step: int) -> None:
        self.step = step

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        if batch_idx == self.step:
            raise KeyboardInterrupt


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint with the plain safe loader, as anybody would."""
    return torch.load(path, weights_only=True)


def command(cfg: PretrainConfig, *arguments: str) -> list[str]:
    """Writes the config beside its work_dir and returns the arguments of tools/train.py."""
    path = Path(f"{cfg.work_dir}_config.py")
    path.write_text(cfg.pretty_text)
    return [str(ROOT / "tools" / "train.py"), str(path), *arguments]


def start(arguments: list[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Starts a command in its own process group, one thread per process, output to ``log``."""
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "PYTHON": sys.executable,
        **environment,
    }
    with open(log, "wb") as out:
        return subprocess.Popen(arguments, stdout=out, stderr=out, env=env, start_new_session=True)


def wait_for_step(work_dir: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Returns as soon as the run has logged ``step``; fails if the process ends before that."""
    curve = work_dir / "curve.csv"
    while process.poll() is None:
        if curve.exists() and len(curve.read_text().splitlines()) > step:
            return
        time.sleep(0.002)
    raise AssertionError(f"step {step} not reached (exit code {process.poll()})")


def assert_same_weights(
    actual: dict[str, Any], expected: dict[str, Any], tolerance: float = 0.0
) -> None:
    """Compares the models of two checkpoints; bit for bit unless a tolerance is given."""
    assert actual["state_dict"].keys() == expected["state_dict"].keys()
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(
            actual["state_dict"][name],
            value,
            rtol=tolerance,
            atol=tolerance,
            msg=lambda m, n=name: f"{n}: {m}",
        )


@pytest.fixture
def helpers() -> SimpleNamespace:
    """The functions of this file; pytest's importlib mode leaves no name to import them from."""
    return SimpleNamespace(
        Dies=Dies,
        load=load,
        command=command,
        start=start,
        wait_for_step=wait_for_step,
        same_weights=assert_same_weights,
    )
