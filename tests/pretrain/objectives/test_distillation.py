"""Distillation of cells: numbers of the specification, loops, the running scale, another network as
the teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.engine.build import build_runner
from pretrain.engine.config import PretrainConfig
from pretrain.objectives.distillation import (
    Distillation,
    RunningScale,
    best_constant,
    distillation_loss,
)
from pretrain.reference import resized


def rows(maps: Tensor) -> Tensor:
    return maps.movedim(1, -1).flatten(0, 2)


def turned(x: Tensor, y: Tensor) -> float:
    return distillation_loss(x, y, 0).item()


def test_numbers_of_the_specification(wave: Callable[..., Tensor]) -> None:
    s = wave(0, 2, 3, 2, 2).requires_grad_()
    t = 2 * wave(0.4, 2, 3, 2, 2) + 0.5
    scale = RunningScale(3).double()
    target = scale(rows(t))
    scale.update()
    expected = [1.012451, 1.026408, 0.396368, 1.452607]
    values = [*scale.mean.tolist(), scale.variance.sqrt().item()]
    assert values == pytest.approx(expected, abs=6e-7)
    assert turned(rows(s), target) == pytest.approx(0.104713, abs=6e-7)
    assert distillation_loss(rows(s), target, 1).item() == pytest.approx(0.097908, abs=6e-7)
    loss = distillation_loss(rows(s), target)
    assert loss.item() == pytest.approx(0.104033, abs=6e-7)
    loss.backward()
    expected = [-0.018878, -0.007236, -0.016897]
    assert s.grad[0, :, 0, 0].tolist() == pytest.approx(expected, abs=6e-7)
    # Not standardised, and the mean of the teacher's cells as the prediction for each.
    assert turned(rows(s), rows(t)) == pytest.approx(0.110411, abs=6e-7)
    mean = rows(t).mean(0).expand(8, 3)
    assert turned(mean, rows(t)) == pytest.approx(0.491364, abs=6e-7)


def test_how_the_teachers_map_is_resized_matters(wave: Callable[..., Tensor]) -> None:
    s, t = wave(0, 2, 3, 2, 2)[:1], wave(0.4, 1, 3, 4, 4)
    area = resized(t, (2, 2), "area")
    bilinear = F.interpolate(t, (2, 2), mode="bilinear", antialias=True)
    assert turned(rows(s), rows(area)) == pytest.approx(1.071119, abs=6e-7)
    assert turned(rows(s), rows(bilinear)) == pytest.approx(1.163249, abs=6e-7)


def test_against_loops(wave: Callable[..., Tensor]) -> None:
    x, y = 2 * wave(0, 5, 4), wave(0.5, 5, 4)
    cosines, smooth = 0.0, 0.0
    for own, other in zip(x, y, strict=True):
        cosines += (own @ other / (own.norm() * other.norm())).item() / 5
        for a, b in zip(own.tolist(), other.tolist(), strict=True):
            gap = abs(a - b)
            smooth += (gap**2 / 2 if gap < 1 else gap - 0.5) / 20
    expected = 0.7 * (1 - cosines) + 0.3 * smooth
    assert distillation_loss(x, y, 0.3).item() == pytest.approx(expected)
    assert distillation_loss(y, y).item() == pytest.approx(0, abs=1e-12)


def test_running_values_are_those_of_all_batches_and_later_forget(
    wave: Callable[..., Tensor],
) -> None:
    batches = [1 + phase * wave(phase, 6, 4) for phase in range(1, 5)]
    scale = RunningScale(4, momentum=0.99).double()
    for batch in batches:
        before = scale.mean
        again = scale(batch), scale(batch)
        assert torch.equal(*again) and scale.mean is before
        scale.update()
    everything = torch.cat(batches)
    assert torch.allclose(scale.mean, everything.mean(0))
    assert scale.variance.item() == pytest.approx(everything.var(0, unbiased=False).mean().item())
    scale.eval()
    kept = (batches[0] - scale.mean) / scale.variance.sqrt()
    assert torch.allclose(scale(batches[0]), kept)
    scale.update()
    assert scale.steps == 4  # nothing came in since
    last = RunningScale(4, momentum=0.0).double()
    for batch in batches:
        last(batch)
        last.update()
    assert torch.allclose(last.mean, batches[-1].mean(0))


def test_features_that_are_all_the_same_give_finite_targets() -> None:
    assert not RunningScale(3)(torch.full((4, 3), 7.0)).any()


def test_no_constant_lies_nearer_in_angle(wave: Callable[..., Tensor]) -> None:
    y = 1 + wave(0, 6, 4)
    least = turned(best_constant(y), y)
    assert least == pytest.approx(1 - F.normalize(y, dim=1).mean(0).norm().item())
    for other in (*torch.eye(4).double(), y.mean(0)):
        assert turned(other.expand_as(y), y) >= least - 1e-12


class Given:
    """Encodings that are given: maps (B, D, h, w) of one view."""

    def __init__(self, own: Tensor, frozen: Tensor) -> None:
        self.own, self.frozen = own, frozen

    def online(self, group: str) -> list[Features]:
        return [Features({8: self.own}, self.own.mean((2, 3)))]

    def reference(self, group: str, *, grid: tuple[int, int], resize: str) -> list[Features]:
        return [Features({16: resized(self.frozen, grid, resize)}, self.frozen.mean((2, 3)))]


def objective(**options: float) -> Distillation:
    torch.manual_seed(0)
    return Distillation(FeatureInfo({8: 3}, 3, FeatureInfo({16: 5}, 5)), **options).double()


def test_the_terms_add_up_and_the_constant_is_what_a_constant_student_costs(
    wave: Callable[..., Tensor],
) -> None:
    student = objective(vector_weight=0.5)
    encode = Given(wave(0, 2, 3, 2, 2), 1 + wave(0.5, 2, 5, 4, 4))
    terms = student(None, encode)
    assert terms["loss"].item() == pytest.approx(
        terms["cells"].item() + 0.5 * terms["vector"].item()
    )
    pairs = (
        (student.adapter, student.scale(rows(resized(encode.frozen, (2, 2), "area")))),
        (student.vector_adapter, student.vector_scale(encode.frozen.mean((2, 3)))),
    )
    for adapter, target in pairs:
        torch.nn.init.zeros_(adapter.weight)
        adapter.bias.data = best_constant(target)[0].clone()
    terms = student(None, encode)
    assert student.bounds(None, terms).collapsed == pytest.approx(terms["loss"].item())
    plain = objective(vector_weight=0.0)
    assert not hasattr(plain, "vector_adapter") and "vector" not in plain(None, encode)


def test_only_the_student_gets_a_gradient(wave: Callable[..., Tensor]) -> None:
    own, frozen = wave(0, 2, 3, 2, 2).requires_grad_(), wave(0.5, 2, 5, 2, 2).requires_grad_()
    objective()(None, Given(own, frozen))["loss"].backward()
    assert own.grad.any() and frozen.grad is None


def test_a_small_network_learns_from_another_one(image_folder: Path, tmp_path: Path) -> None:
    """A ResNet of stride 8 from a ViT of patches of 16 pixels, which sees clean views."""
    teacher = dict(type="TimmBackbone", name="vit_tiny_patch16_224", img_size=64)
    teacher |= dict(patch_size=16, embed_dim=24, depth=1, num_heads=2)
    torch.manual_seed(0)
    network = MODELS.build(dict(teacher))
    state = {f"backbone.{name}": value for name, value in network.state_dict().items()}
    meta = dict(backbone=network.config, licence="MIT")
    torch.save(dict(state_dict=state, meta=meta), tmp_path / "teacher.pth")
    view = dict(size=64, scale=(0.3, 1.0), grey=0.5)
    groups = {"global": [view], "clean": [dict(size=64, same_as=("global", 0))]}
    cfg = dict(
        model=dict(
            type="Pretrainer",
            backbone=dict(type="TimmBackbone", name="test_resnet", output_stride=8),
            objectives=[dict(type="Distillation", twins="clean")],
            reference=dict(backbone=teacher | dict(start=str(tmp_path / "teacher.pth"))),
        ),
        source=dict(type="ImageFolder", root=str(image_folder)),
        views=dict(type="ViewRecipe", groups=groups),
        loader=dict(workers=0),
        schedule=dict(global_batch=8, samples=240, lr_rule="none", lr=1e-2),
        optimizer=dict(type="AdamW"),
        engine=dict(log_every=1),
        vis_backends=[],
        work_dir=str(tmp_path / "run"),
    )
    runner = build_runner(PretrainConfig(cfg))
    (distillation,) = runner.raw_model.objectives
    assert distillation.adapter.weight.shape == (24, 96)
    runner.train()
    losses = runner.message_hub.get_scalar("train/Distillation.loss").data[0]
    constants = runner.message_hub.get_scalar("train/Distillation.constant").data[0]
    assert losses[0] > constants[0] and losses[-5:].mean() < constants[-5:].mean()
    saved = torch.load(tmp_path / "run" / "final.pth", weights_only=True)
    assert saved["state_dict"]["objectives.0.scale.steps"] == 30
    assert saved["meta"]["reference"]["licence"] == "MIT"


def test_mistakes_are_named() -> None:
    for options, message in (
        (dict(smooth=1.5), r"smooth=1.5: must lie in \[0, 1\]"),
        (dict(momentum=-1.0), "momentum=-1.0: must lie in"),
        (dict(vector_weight=-1.0), "vector_weight=-1.0: must not be negative"),
        (dict(stride=8), r"stride=8: the backbone has maps at strides \[16\]"),
    ):
        with pytest.raises(ValueError, match=message):
            objective(**options)
