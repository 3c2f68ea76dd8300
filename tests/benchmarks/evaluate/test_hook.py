"""Evaluation during training: it logs, and training does not notice."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from benchmarks.core.record import read_all
from benchmarks.evaluate.hook import EvaluationHook
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.engine.sharding import shard
from pretrain.random_state import undisturbed_random

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def benchmarks(image_folder: Path, toy_root: Path) -> dict[str, Any]:
    folders = dict(root=str(toy_root), images="images/{split}", masks="masks/{split}")
    plain = dict(layout="plain", classes=3, ignore=255) | folders
    return dict(
        dense=dict(type="retrieval", data=plain, size=(40, 48), neighbours=5),
        knn=dict(data=dict(root=str(image_folder)), size=32),
    )


def config(image_folder: Path, work_dir: Path, hooks: list[dict[str, Any]]) -> PretrainConfig:
    """A BYOL run of 4 steps on a network with BatchNorm, so that a wrong mode or draw would show in
    the weights.
    """
    view = dict(size=32, jitter=dict(brightness=0.4, contrast=0.4))
    return PretrainConfig(
        dict(
            model=dict(
                type="Pretrainer",
                backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
                objectives=[dict(type="BYOL")],
            ),
            source=dict(type="ImageFolder", root=str(image_folder)),
            views=dict(type="ViewRecipe", groups={"global": [view, view]}),
            loader=dict(workers=0),
            schedule=dict(global_batch=4, samples=16, warmup_samples=4, lr_rule="none", lr=0.1),
            optimizer=dict(type="SGD"),
            engine=dict(checkpoint_every=100, log_every=1),
            seed=3,
            work_dir=str(work_dir),
            vis_backends=[],
            hooks=copy.deepcopy(hooks),
        )
    )


def test_training_does_not_notice(
    image_folder: Path, tmp_path: Path, benchmarks: dict[str, Any]
) -> None:
    finals, hub = [], None
    for name, every in (("plain", None), ("watched", 3)):
        hooks = (
            []
            if every is None
            else [dict(type="EvaluationHook", every=every, benchmarks=benchmarks)]
        )
        runner = build_runner(config(image_folder, tmp_path / name, hooks))
        runner.train()
        finals.append(torch.load(tmp_path / name / "final.pth", weights_only=True)["state_dict"])
        hub = runner.message_hub
    assert all(torch.equal(value, finals[1][key]) for key, value in finals[0].items())
    records = read_all(tmp_path / "watched" / "evaluations.jsonl")
    assert [(r.benchmark, r.subject["spec"]) for r in records] == [
        ("retrieval", "step 3"),
        ("knn", "step 3"),
        ("retrieval", "step 4"),
        ("knn", "step 4"),
    ]
    assert (
        records[0].protocol["memory_size"] == 102_400
    )  # the reduced settings, where the config says nothing
    assert hub.get_scalar("eval/dense.mIoU").current() == pytest.approx(
        records[2].metrics["mIoU"].value
    )
    assert hub.get_scalar("eval/knn.top1").current() == pytest.approx(
        records[3].metrics["top1"].value
    )


def test_random_states_come_back() -> None:
    def draw() -> list[float]:
        return [random.random(), float(np.random.rand()), torch.rand(()).item()]

    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    with undisturbed_random():
        drawn = draw()
    assert draw() == drawn


def test_target_weights_differ_from_online(
    image_folder: Path, tmp_path: Path, benchmarks: dict[str, Any]
) -> None:
    hook = dict(type="EvaluationHook", every=4, benchmarks=dict(knn=benchmarks["knn"]))
    runner = build_runner(config(image_folder, tmp_path, [hook, hook | dict(weights="target")]))
    runner.train()
    online, target = read_all(tmp_path / "evaluations.jsonl")
    assert (online.subject["weights"], target.subject["weights"]) == ("online", "target")
    assert online.subject["fingerprint"] != target.subject["fingerprint"]


def test_a_sharded_model_is_refused_before_the_first_step(
    tmp_path: Path, benchmarks: dict[str, Any]
) -> None:
    model = nn.Module()
    model.backbone = nn.Linear(2, 2)
    model.networks = [model.backbone]
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="sharded by FSDP; evaluate checkpoints"):
            EvaluationHook(benchmarks).before_train(SimpleNamespace(raw_model=shard(model), rank=0))
    finally:
        dist.destroy_process_group()


def test_mistakes_show_before_the_first_step(
    image_folder: Path, tmp_path: Path, benchmarks: dict[str, Any]
) -> None:
    for change, message in (
        (dict(every=0), "at least 1"),
        (dict(weights="best"), "must be 'online' or 'target'"),
        (dict(benchmarks={}), "must not be empty"),
    ):
        with pytest.raises(ValueError, match=message):
            EvaluationHook(**(dict(benchmarks=benchmarks) | change))
    wrong = dict(dense=benchmarks["dense"] | dict(neighbors=3))
    hook = dict(type="EvaluationHook", benchmarks=wrong)
    with pytest.raises(ValueError, match="neighbors is unknown; did you mean 'neighbours'"):
        build_runner(config(image_folder, tmp_path, [hook])).train()


def test_images_that_the_network_refuses_show_before_the_first_step(
    image_folder: Path, tmp_path: Path, benchmarks: dict[str, Any]
) -> None:
    hook = dict(type="EvaluationHook", benchmarks=dict(knn=benchmarks["knn"] | dict(size=40)))
    cfg = config(image_folder, tmp_path, [hook])
    cfg.model.backbone = dict(type="TimmBackbone", name="test_vit", img_size=32)
    with pytest.raises(ValueError, match="images of 40 × 40 pixels: test_vit refuses this size"):
        build_runner(cfg).train()
