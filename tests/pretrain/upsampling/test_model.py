"""What the engine and later users of a checkpoint rely on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from mmengine.registry import MODELS

from pretrain.engine.model import check_hooks
from pretrain.engine.optim import parameter_groups
from pretrain.engine.settings import ConfigError
from pretrain.hooks.collapse import CollapseHook
from pretrain.hooks.early_clip import EarlyClipHook
from pretrain.hooks.throughput import ThroughputHook
from pretrain.structures import Batch
from pretrain.upsampling.model import UpsamplerTrainer, completed

JBU = dict(type="JBUStack", key_dim=4)


def test_backbone_stays_in_eval_mode_without_gradient_or_optimiser(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    trainer = make_trainer(JBU).train()
    assert not any(module.training for module in trainer.backbone.modules())
    assert trainer.upsampler.training and trainer.objective.training
    before = {name: value.clone() for name, value in trainer.backbone.state_dict().items()}
    trainer(batch)
    assert all(
        torch.equal(before[name], value) for name, value in trainer.backbone.state_dict().items()
    )
    optimised = {id(p) for group in parameter_groups(trainer, 0.1) for p in group["params"]}
    assert optimised == {
        id(p) for part in (trainer.upsampler, trainer.objective) for p in part.parameters()
    }


def test_upsampler_learns_width_and_stride_from_the_backbone(
    make_trainer: Callable[..., UpsamplerTrainer],
) -> None:
    assert make_trainer(JBU).upsampler.config["channels"] == 96
    assert make_trainer(JBU).upsampler.config["factor"] == 8
    assert completed(dict(type="JBUStack", factor=4), channels=7, factor=8) == dict(
        type="JBUStack", channels=7, factor=4
    )
    assert completed(dict(type="Interpolation"), channels=7) == dict(type="Interpolation")


def test_description_builds_the_same_model_again(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    trainer = make_trainer(JBU)
    reported = trainer.describe()
    again = MODELS.build(
        dict(
            type="UpsamplerTrainer",
            backbone=dict(type="TimmBackbone", **reported["backbone"]),
            upsampler=reported["upsampler"],
            objective=reported["objective"],
            map_stride=reported["map_stride"],
            data_preprocessor=dict(type="ViewPreprocessor", **reported["normalisation"]),
        )
    )
    again.load_state_dict(trainer.state_dict())
    actual, expected = (
        {k: float(v.detach()) for k, v in _seeded(model, batch).items()}
        for model in (again, trainer)
    )
    assert actual == expected


def _seeded(model: UpsamplerTrainer, batch: Batch) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return model(batch)


def test_draws_depend_on_seed_and_step_alone(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    """Micro-batches of a step share their jitters, whatever torch's generator did meanwhile; steps
    do not.
    """
    trainer = make_trainer(dict(type="Interpolation"), projection=0, crf=0).eval()
    first = float(trainer(batch)["mse"].detach())
    torch.rand(5)
    assert float(trainer(batch)["mse"].detach()) == first
    trainer.after_step(0.5)
    assert float(trainer(batch)["mse"].detach()) != first


def test_other_modes_are_refused(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    with pytest.raises(ValueError, match="mode='predict': only 'loss'"):
        make_trainer(JBU)(batch, mode="predict")


def test_hooks_that_watch_a_pretraining_are_refused(
    make_trainer: Callable[..., UpsamplerTrainer],
) -> None:
    trainer = make_trainer(JBU)
    with pytest.raises(ConfigError, match="CollapseHook asks .*UpsamplerTrainer does not"):
        check_hooks([CollapseHook()], trainer)
    with pytest.raises(ConfigError, match=r"for objectives.needs.online, .*efficiency_at=None"):
        check_hooks([ThroughputHook()], trainer)
    check_hooks([EarlyClipHook(), ThroughputHook(efficiency_at=None)], trainer)
