"""Runs that must stop: numbers that are none, files that are no images; and curves that were cut
off.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pretrain.engine.build import build_runner
from pretrain.engine.hooks.nonfinite import FP16_TOLERATED_SKIPS, NonFiniteError
from pretrain.engine.hooks.progress import append_curve, cut_curve
from pretrain.engine.hooks.skipped_files import TooManyBadFiles


def test_a_loss_that_is_no_number_stops_the_run_with_the_ids(
    make_config: Callable, tmp_path: Path
) -> None:
    cfg = make_config(tmp_path / "run", schedule__lr=1e30, schedule__warmup_samples=0)
    runner = build_runner(cfg)
    with pytest.raises(NonFiniteError, match=r"step \d+: .*(nan|inf).*ids of the images"):
        runner.train()
    (record,) = (
        json.loads(p.read_text()) for p in (tmp_path / "run").glob("nonfinite_step_*.json")
    )
    assert record["step"] >= 2  # the first step still had finite weights
    assert len(record["ids"]) == 4 and all(0 <= i < 24 for i in record["ids"])
    saved = [int(p.stem.split("_")[1]) for p in (tmp_path / "run").glob("iter_*.pth")]
    assert all(step < record["step"] for step in saved)


def test_a_metric_that_is_no_number_does_not_stop_the_run(
    make_config: Callable, tmp_path: Path
) -> None:
    runner = build_runner(make_config(tmp_path / "run", schedule__samples=16))
    forward = runner.raw_model.objectives[0].forward
    runner.raw_model.objectives[0].forward = lambda *a: {
        **forward(*a),
        "share": torch.tensor(float("nan")),
    }
    runner.train()
    assert (tmp_path / "run" / "final.pth").exists() and not list(
        (tmp_path / "run").glob("nonfinite_*")
    )


def test_fp16_may_skip_steps_but_not_for_ever(make_config: Callable, tmp_path: Path) -> None:
    steps = FP16_TOLERATED_SKIPS + 5
    cfg = make_config(tmp_path / "run", engine__precision="fp16", schedule__samples=4 * steps)
    runner = build_runner(cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    # Overflows until it was halved more often than is tolerated.
    runner.optim_wrapper.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120)
    with pytest.raises(NonFiniteError, match=f"step {FP16_TOLERATED_SKIPS}:"):
        runner.train()


def _with_a_broken_file(
    make_config: Callable, folder: Path, **overrides: object
) -> tuple[object, Path]:
    cfg = make_config(folder / "run", **overrides)
    shutil.copytree(cfg.source.root, folder / "images")
    broken = sorted((folder / "images").rglob("*.jpg"))[5]
    broken.write_bytes(b"no image")
    cfg.source.root = str(folder / "images")
    return cfg, broken


def test_bad_files_are_listed_and_replaced(make_config: Callable, tmp_path: Path) -> None:
    cfg, broken = _with_a_broken_file(make_config, tmp_path, loader__max_bad_fraction=0.05)
    build_runner(cfg).train()
    (line,) = (tmp_path / "run" / "skipped_files.txt").read_text().splitlines()
    assert line.startswith("5\t") and broken.name in line


def test_too_many_bad_files_stop_the_run(make_config: Callable, tmp_path: Path) -> None:
    cfg, broken = _with_a_broken_file(make_config, tmp_path)
    with pytest.raises(TooManyBadFiles, match=broken.name):
        build_runner(cfg).train()


def test_curve_is_cut_back_to_the_checkpoint_and_broken_lines_go(tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    columns: list[str] = []
    for step in (1, 2, 3, 4):
        columns = append_curve(path, columns, {"step": step, "loss": step / 10})
    with path.open("a") as file:
        file.write("5")  # killed while writing
    assert cut_curve(path, 3) == ["step", "loss"]
    assert path.read_text() == "step,loss\n1,0.1\n2,0.2\n3,0.3\n"
    append_curve(path, columns, {"step": 4, "loss": 0.4, "new": 1})
    assert path.read_text().splitlines()[-2:] == ["3,0.3,", "4,0.4,1"]
    assert cut_curve(path, 0) == [] and not path.exists()
