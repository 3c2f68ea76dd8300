"""A backbone, images and a run small enough to be repeated: 24 images of 32 px, six steps, about a
second.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import MODELS

from pretrain.engine.check import register_all
from pretrain.engine.config import PretrainConfig
from pretrain.structures import Batch, Views
from pretrain.upsampling.model import UpsamplerTrainer

CONSISTENCY = dict(type="MultiViewConsistency", jitters=2, pad=4, projection=6, crf_samples=20)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums depend on the number of threads; the subprocesses compared with run with one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_trainer(tiny_backbone: dict[str, Any]) -> Callable[..., UpsamplerTrainer]:
    """Returns ``make(upsampler, **objective)``: a fresh model, always with the same weights."""
    register_all()

    def make(upsampler: dict[str, Any], **objective: Any) -> UpsamplerTrainer:
        torch.manual_seed(0)
        objective = (
            CONSISTENCY | objective
            if objective.get("type") in (None, CONSISTENCY["type"])
            else objective
        )
        return MODELS.build(
            dict(
                type="UpsamplerTrainer",
                backbone=tiny_backbone,
                upsampler=upsampler,
                objective=objective,
            )
        )

    return make


@pytest.fixture
def make_config(image_folder: Path, tiny_backbone: dict[str, Any]) -> Callable[..., PretrainConfig]:
    """Returns ``make(work_dir, **overrides)``; overrides: dotted keys, ``__`` for dots."""

    def make(work_dir: Path, **overrides: Any) -> PretrainConfig:
        upsampler = dict(type="NeighbourhoodUpsampler", dim=8, heads=2, window=3, depth=1)
        cfg = PretrainConfig(
            dict(
                model=dict(
                    type="UpsamplerTrainer",
                    backbone=tiny_backbone,
                    upsampler=upsampler,
                    objective=dict(CONSISTENCY),
                ),
                source=dict(type="ImageFolder", root=str(image_folder), labels=False),
                views=dict(type="ViewRecipe", groups={"global": [dict(size=32, scale=(0.5, 1.0))]}),
                loader=dict(workers=0),
                schedule=dict(global_batch=4, samples=24, lr_rule="none", lr=1e-3, lr_min=1e-3),
                optimizer=dict(type="NAdam"),
                engine=dict(checkpoint_every=2, keep_checkpoints=100, log_every=1),
                hooks=[dict(type="EarlyClipHook", norm=1e-2, steps=2)],
                seed=3,
                work_dir=str(work_dir),
                vis_backends=[],
            )
        )
        cfg.merge_from_dict(
            {key.replace("__", "."): copy.deepcopy(value) for key, value in overrides.items()}
        )
        return cfg

    return make


@pytest.fixture
def batch() -> Batch:
    """Two smooth random images of 32 × 40 pixels, normalised."""
    generator = torch.Generator().manual_seed(1)
    images = torch.nn.functional.interpolate(
        torch.randn(2, 3, 8, 10, generator=generator), size=(32, 40)
    )
    return Batch({"global": Views(images[:, None], torch.zeros(2, 1, 2, 3))}, None, torch.arange(2))
