"""Whole runs in this process: what is written, what a resumed run continues, what is refused."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from pretrain.engine.build import build_runner
from pretrain.engine.config import parse
from pretrain.engine.settings import ConfigError

PIXPRO = [dict(type="PixPro", hidden=16, dim=8)]


def stop_after(cfg: Config, hook: Hook) -> None:
    """Trains until ``hook`` stops the run as a kill would: no final files, no after_run."""
    runner = build_runner(cfg)
    runner.register_hook(hook)
    with pytest.raises(KeyboardInterrupt):
        runner.train()


@pytest.mark.parametrize(
    "options",
    [
        dict(
            model__objectives=PIXPRO,
            optimizer=dict(_delete_=True, type="Lars", momentum=0.9, weight_decay=1e-5),
        ),
        dict(
            schedule__accumulate=2,
            optimizer=dict(_delete_=True, type="AdamW"),
            model__backbone__drop_path_rate=0.5,
        ),
    ],
    ids=["PixPro with EMA target, LARS", "accumulation, AdamW, random depth"],
)
def test_resumed_equals_uninterrupted_bit_for_bit(
    make_config: Callable,
    train: Callable,
    helpers: SimpleNamespace,
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    whole = train(make_config(tmp_path / "whole", **options))
    cut = make_config(tmp_path / "cut", **options)
    stop_after(
        cut, helpers.Dies(8)
    )  # checkpoints at 3 and 6: steps 7 and 8 are lost and done again
    resumed = train(cut, resume="auto")
    helpers.same_weights(resumed, whole)
    assert str(resumed["optimizer"]) == str(whole["optimizer"])
    assert resumed["sampler"] == whole["sampler"]
    assert torch.equal(resumed["rng"][0]["torch"], whole["rng"][0]["torch"])
    curves = [
        list(csv.DictReader((tmp_path / name / "curve.csv").open())) for name in ("whole", "cut")
    ]
    for row in (*curves[0], *curves[1]):
        row.pop("samples_per_s")
    assert curves[0] == curves[1]


def test_a_resumed_run_has_the_settings_of_its_own_config(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path
) -> None:
    train(make_config(tmp_path / "first", schedule__samples=16))
    changed = make_config(tmp_path / "second", optimizer__weight_decay=0.1, optimizer__momentum=0.5)
    last = train(changed, resume=tmp_path / "first" / "iter_3.pth")
    groups = last["optimizer"]["param_groups"]
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [group["momentum"] for group in groups] == [0.5, 0.5]


def test_files_and_their_contents(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path
) -> None:
    backends = [dict(type="TensorboardVisBackend")]
    cfg = make_config(
        tmp_path / "run",
        model__objectives=PIXPRO,
        vis_backends=backends,
        engine__keep_checkpoints=2,
    )
    last = train(cfg)
    folder = tmp_path / "run"
    assert sorted(p.name for p in folder.glob("iter_*.pth")) == ["iter_12.pth", "iter_9.pth"]
    assert (folder / "last_checkpoint").read_text() == str(folder / "iter_12.pth")
    final = helpers.load(folder / "final.pth")
    assert "optimizer" not in final
    helpers.same_weights(final, last)
    assert final["meta"]["samples_seen"] == 48
    assert final["meta"]["backbone"]["name"] == "vit_tiny_patch16_224"
    assert final["meta"]["normalisation"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert parse(final["meta"]["cfg"]).model.objectives[0].hidden == 16
    assert last["state_dict"]["momentum_step"].item() == 12
    assert {key.split(".")[0] for key in last["state_dict"]} >= {
        "backbone",
        "target_backbone",
        "objectives",
    }
    progress = json.loads((folder / "progress.json").read_text())
    assert (progress["step"], progress["total"], progress["state"]) == (12, 12, "done")
    rows = list(csv.DictReader((folder / "curve.csv").open()))
    assert [int(row["samples"]) for row in rows] == list(range(4, 52, 4))
    assert float(rows[0]["lr"]) == pytest.approx(0.001)  # warm-up starts at 1 % of 0.1
    assert list(folder.glob("*/vis_data/events.out.tfevents*"))


def test_targets_follow_once_per_optimiser_step_with_the_share_done(
    make_config: Callable, tmp_path: Path
) -> None:
    cfg = make_config(
        tmp_path / "run", model__objectives=PIXPRO, schedule__samples=16, schedule__accumulate=2
    )
    runner = build_runner(cfg)
    seen: list[float] = []
    update = runner.raw_model.after_step
    runner.raw_model.after_step = lambda progress: (seen.append(progress), update(progress))
    runner.train()
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_accumulation_changes_nothing_without_batch_statistics(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path
) -> None:
    whole = train(make_config(tmp_path / "whole"))
    parts = train(make_config(tmp_path / "parts", schedule__accumulate=4))
    helpers.same_weights(parts, whole, tolerance=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_trains_and_keeps_weights_in_fp32(
    make_config: Callable, train: Callable, tmp_path: Path, precision: str
) -> None:
    cfg = make_config(
        tmp_path / "run",
        model__objectives=PIXPRO,
        engine__precision=precision,
        schedule__samples=16,
    )
    state = train(cfg)
    assert all(
        v.dtype == torch.float32 for v in state["state_dict"].values() if v.is_floating_point()
    )
    assert ("loss_scaler" in state["optimizer"]) == (precision == "fp16")


def test_weights_alone_are_loaded_with_load_from(
    make_config: Callable, train: Callable, helpers: SimpleNamespace, tmp_path: Path
) -> None:
    train(make_config(tmp_path / "first"))
    weights = str(tmp_path / "first" / "final.pth")
    runner = build_runner(make_config(tmp_path / "second", load_from=weights))
    runner.register_hook(helpers.Dies(0))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    helpers.same_weights({"state_dict": runner.raw_model.state_dict()}, helpers.load(Path(weights)))


def test_weights_of_another_model_are_refused(make_config: Callable, tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(
        ConfigError, match=r"holds no backbone of this model.* 1 tensors such as conv1.weight"
    ):
        build_runner(make_config(tmp_path / "run", load_from=str(tmp_path / "other.pth")))


def test_deterministic_mode_gives_cublas_its_workspace(
    make_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be restored")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    try:
        build_runner(make_config(tmp_path / "run", engine__deterministic=True))
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_used_folder_is_not_overwritten(
    make_config: Callable, train: Callable, tmp_path: Path
) -> None:
    cfg = make_config(tmp_path / "run")
    train(cfg)
    with pytest.raises(ConfigError, match="holds a run .iter_12.pth.; continue it with --resume"):
        build_runner(cfg)
    other = make_config(tmp_path / "run", schedule__lr=0.2)
    with pytest.raises(ConfigError, match="holds a run with another schedule"):
        build_runner(other, resume="auto")
    build_runner(cfg, resume="auto").train()  # over already: returns at once
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(
        FileNotFoundError, match="no such checkpoint; in that folder: no .pth files"
    ):
        build_runner(cfg, resume=tmp_path / "run" / "iter_3.pth").train()


def test_two_runs_in_one_process_keep_apart(make_config: Callable, tmp_path: Path) -> None:
    first, second = (build_runner(make_config(tmp_path / name)) for name in ("same", "same"))
    assert first.experiment_name != second.experiment_name
    assert first.visualizer is not second.visualizer
