"""Whole runs on the engine: resumed, in two processes, and of use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS

from pretrain.engine.build import build_runner
from pretrain.engine.check import register_all
from pretrain.engine.config import PretrainConfig

ROOT = Path(__file__).resolve().parents[3]
JBU = dict(_delete_=True, type="JBUStack", key_dim=4)
# Nothing random inside the model but what is drawn for a whole batch: processes are comparable.
SIMPLE = dict(type="SimpleDownsampler")
PLAIN = dict(
    model__objective__projection=0, model__objective__crf=0, model__objective__downsampler=SIMPLE
)


def load(path: Path) -> dict[str, Any]:
    """Reads a checkpoint with the plain safe loader, as anybody would."""
    return torch.load(path, weights_only=True)


def train(cfg: PretrainConfig, resume: bool | str = False) -> dict[str, Any]:
    """Trains in this process; returns the last full checkpoint."""
    runner = build_runner(cfg, resume=resume)
    runner.train()
    return load(Path(cfg.work_dir) / f"iter_{runner.max_iters}.pth")


def assert_same(actual: dict[str, Any], expected: dict[str, Any], tolerance: float = 0.0) -> None:
    assert actual["state_dict"].keys() == expected["state_dict"].keys()
    for name, value in expected["state_dict"].items():
        torch.testing.assert_close(
            actual["state_dict"][name], value, rtol=tolerance, atol=tolerance
        )


def test_resumed_run_is_the_same_to_the_bit(
    make_config: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    whole = train(make_config(tmp_path / "whole", model__upsampler=JBU))
    cfg = make_config(tmp_path / "cut", model__upsampler=JBU)
    runner = build_runner(cfg)
    count = runner.raw_model.after_step

    def stop_after_three(progress: float) -> None:
        count(progress)
        runner.train_loop.stop = progress >= 0.5

    runner.raw_model.after_step = stop_after_three
    runner.train()
    assert not (tmp_path / "cut" / "final.pth").exists()
    assert_same(train(cfg, resume="auto"), whole)


def test_checkpoint_says_how_to_build_the_upsampler(
    make_config: Callable[..., PretrainConfig], tmp_path: Path
) -> None:
    train(make_config(tmp_path / "run", model__upsampler=JBU))
    final = load(tmp_path / "run" / "final.pth")
    assert final["meta"]["upsampler"] == dict(
        type="JBUStack", channels=96, factor=8, radius=3, key_dim=4, norm=False
    )
    assert final["meta"]["backbone"] == dict(name="test_resnet", output_stride=8)
    assert {name.split(".")[0] for name in final["state_dict"]} == {
        "backbone",
        "upsampler",
        "objective",
        "draws",
    }


def test_two_processes_equal_one(
    make_config: Callable[..., PretrainConfig], tmp_path: Path, free_port: int
) -> None:
    """SGD with momentum and without decay: after one step its buffer is the gradient."""
    options = dict(PLAIN, optimizer=dict(_delete_=True, type="SGD", momentum=0.9), hooks=[])
    options |= dict(engine__checkpoint_every=1, schedule__lr=0.01)
    one = train(make_config(tmp_path / "one", **options))
    cfg = make_config(tmp_path / "two", **options)
    (tmp_path / "config.py").write_text(cfg.pretty_text)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        f"--master-port={free_port}",
    ]
    done = subprocess.run(
        [*launch, str(ROOT / "tools" / "train.py"), str(tmp_path / "config.py")],
        env=dict(os.environ, OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_same(load(tmp_path / "two" / "iter_6.pth"), one, tolerance=1e-5)
    states = [load(tmp_path / name / "iter_1.pth")["optimizer"]["state"] for name in ("one", "two")]
    assert states[0].keys() == states[1].keys() and len(states[0]) > 5
    for index, state in states[0].items():
        torch.testing.assert_close(
            states[1][index]["momentum_buffer"], state["momentum_buffer"], rtol=1e-4, atol=1e-6
        )


def rectangles(count: int, generator: torch.Generator) -> torch.Tensor:
    """Generated images (count, 3, 32, 32): three flat rectangles on a flat ground."""
    images = torch.randn(count, 3, 1, 1, generator=generator).repeat(1, 1, 32, 32)
    for image in images:
        for _ in range(3):
            y, x = torch.randint(24, (2,), generator=generator).tolist()
            height, width = torch.randint(5, 20, (2,), generator=generator).tolist()
            image[:, y : y + height, x : x + width] = torch.randn(3, 1, 1, generator=generator)
    return images


@pytest.mark.parametrize(
    "objective",
    [
        dict(type="MultiViewConsistency", jitters=2, pad=4, crf=0, uncertainty=False, projection=0),
        dict(type="ScaleRegression", scales=(0.5, 0.5), least=2),
    ],
    ids=lambda o: o["type"],
)
def test_training_helps_on_images_not_seen(objective: dict[str, Any]) -> None:
    """Features are the mean colours of cells; an upsampler that looks at the image can do better
    than at its start.
    """
    register_all()
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    upsampler = MODELS.build(
        dict(type="NeighbourhoodUpsampler", dim=16, heads=2, window=3, depth=1)
    )
    loss = MODELS.build(dict(objective, channels=3, stride=8))
    optimizer = torch.optim.NAdam([*upsampler.parameters(), *loss.parameters()], lr=1e-2)
    unseen, encode = rectangles(16, torch.Generator().manual_seed(2)), torch.nn.AvgPool2d(8)
    name = "mse" if "jitters" in objective else "loss"

    def held_out() -> float:
        upsampler.eval(), loss.eval()
        draws = torch.Generator().manual_seed(0)
        with torch.no_grad():
            return sum(float(loss(unseen, encode, upsampler, draws)[name]) for _ in range(3))

    before = held_out()
    for _ in range(40):
        upsampler.train(), loss.train()
        terms = loss(rectangles(8, generator), encode, upsampler, generator)
        optimizer.zero_grad()
        sum(value for key, value in terms.items() if "loss" in key).backward()
        optimizer.step()
    assert held_out() < 0.8 * before
