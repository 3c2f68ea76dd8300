"""The consistency loss against its description done step by step, and the shortcuts that must
change nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heads.upsamplers.base import Upsampler
from heads.upsamplers.jbu import JBUStack
from pretrain.structures import Batch
from pretrain.upsampling.consistency import MultiViewConsistency
from pretrain.upsampling.jitter import draw_jitter
from pretrain.upsampling.losses import LEAST_SCALE, random_projection, sampled_crf
from pretrain.upsampling.model import UpsamplerTrainer

JBU = dict(type="JBUStack", key_dim=4)
NEIGHBOURHOOD = dict(type="NeighbourhoodUpsampler", dim=8, heads=2, window=3, depth=1)
BILINEAR = dict(type="Interpolation", mode="bilinear")


class Opaque(Upsampler):
    """Hides that an upsampler is linear."""

    def __init__(self, inner: Upsampler) -> None:
        super().__init__()
        self.inner = inner

    def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
        return self.inner.upsample(image, features, output_size)


def losses(trainer: UpsamplerTrainer, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """The objective's terms with everything random fixed."""
    image = batch.views["global"].images[:, 0]
    torch.manual_seed(seed)
    return trainer.objective(
        image, trainer.encode, trainer.upsampler, torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("upsampler", [JBU, NEIGHBOURHOOD, BILINEAR], ids=lambda u: u["type"])
def test_equals_the_description_step_by_step(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch, upsampler: dict[str, Any]
) -> None:
    trainer = make_trainer(upsampler).eval()
    actual = losses(trainer, batch)
    objective, image = trainer.objective, batch.views["global"].images[:, 0]
    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(0)
    reconstruction, crf = 0.0, 0.0
    fine = trainer.upsampler(image, trainer.encode(image), (32, 40))
    for number in range(2):
        jitter = draw_jitter((32, 40), draws, pad=4)
        target = trainer.encode(jitter(image))
        projection = random_projection(2, 96, 6, like=target)
        residual = objective.downsampler(jitter(fine), (4, 5)) - target
        scale = objective.uncertainty(target)
        for b in range(2):
            projected = torch.einsum("chw,cd->dhw", residual[b], projection[b])
            reconstruction += (projected**2 / (2 * scale[b] ** 2) + scale[b].log()).mean() / 4
        if number == 0:
            projected = torch.einsum("bchw,bcd->bdhw", jitter(fine), projection)
            crf = 0.001 * sampled_crf(jitter(image), projected, samples=20)
    torch.testing.assert_close(actual["loss_reconstruction"], reconstruction, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(actual["loss_crf"], crf, rtol=1e-4, atol=1e-7)


def featup_step(trainer: UpsamplerTrainer, plain: JBUStack, batch: Batch) -> Tensor:
    """FeatUp's training step in its own words: the model is backbone and normalisation, and the
    upsampler comes after.

    Features of the image and of its moved versions both come from that model; nothing else knows
    raw features.
    """
    image, objective = batch.views["global"].images[:, 0], trainer.objective
    norm = nn.LayerNorm(96, eps=1e-5)

    def model(pixels: Tensor) -> Tensor:
        with torch.no_grad():
            return norm(trainer.encode(pixels).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    torch.manual_seed(0)
    draws = torch.Generator().manual_seed(0)
    loss = 0.0
    for number in range(2):
        fine = plain(image, model(image), (32, 40))
        jitter = draw_jitter((32, 40), draws, pad=4)
        target = model(jitter(image))
        projection = random_projection(2, 96, 6, like=target)
        scale = (objective.uncertainty.conv(target) + 0.1).exp().clamp_min(LEAST_SCALE)
        moved = jitter(fine)
        residual = torch.einsum(
            "bchw,bcd->bdhw", objective.downsampler(moved, (4, 5)) - target, projection
        )
        loss = loss + (residual**2 / (2 * scale**2) + scale.log()).mean() / 2
        if number == 0:
            low = torch.einsum("bchw,bcd->bdhw", moved, projection)
            loss = loss + 0.001 * sampled_crf(jitter(image), low, samples=20)
    return loss


def test_with_a_norm_the_loss_is_that_of_featups_script(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    trainer = make_trainer(dict(JBU, norm=True)).eval()
    options = {
        name: trainer.upsampler.config[name] for name in ("channels", "factor", "radius", "key_dim")
    }
    plain = JBUStack(**options)
    plain.load_state_dict(trainer.upsampler.state_dict(), strict=False)
    terms = losses(trainer, batch)
    actual, expected = (
        terms["loss_reconstruction"] + terms["loss_crf"],
        featup_step(trainer, plain.eval(), batch),
    )
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    actual.backward()
    expected_gradients = torch.autograd.grad(expected, list(plain.parameters()))
    for (name, _), gradient in zip(plain.named_parameters(), expected_gradients, strict=True):
        torch.testing.assert_close(
            trainer.upsampler.get_parameter(name).grad, gradient, rtol=1e-3, atol=1e-6
        )
    assert trainer.upsampler.norm.weight.grad is None


def gradients(trainer: UpsamplerTrainer, batch: Batch) -> list[Tensor]:
    """Gradients of everything trained."""
    actual = losses(trainer, batch)
    total = sum(value for name, value in actual.items() if "loss" in name)
    return list(torch.autograd.grad(total, [p for p in trainer.parameters() if p.requires_grad]))


@pytest.mark.parametrize(
    "change", [dict(), dict(shared=True), dict(recompute=True), dict(shared=True, recompute=True)]
)
@pytest.mark.parametrize("upsampler", [JBU, NEIGHBOURHOOD], ids=lambda u: u["type"])
def test_shortcuts_keep_the_gradient(
    make_trainer: Callable[..., UpsamplerTrainer],
    batch: Batch,
    upsampler: dict[str, Any],
    change: dict[str, bool],
) -> None:
    plain, changed = (
        make_trainer(upsampler, **options) for options in (dict(shared=False), change)
    )
    if change.get("shared"):  # a stack draws its dropout once instead of once per jitter
        for trainer in (plain, changed):
            trainer.upsampler.eval()
    for actual, expected in zip(gradients(changed, batch), gradients(plain, batch), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


def test_projecting_before_upsampling_keeps_the_gradient(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    linear, opaque = (make_trainer(JBU) for _ in range(2))
    opaque.upsampler = Opaque(opaque.upsampler)
    for trainer in (linear, opaque):
        trainer.upsampler.eval()
    for actual, expected in zip(gradients(linear, batch), gradients(opaque, batch), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-6)


def test_everything_trained_gets_a_gradient_and_the_backbone_none(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    trainer = make_trainer(JBU, tv=0.1)
    terms = trainer(batch)
    sum(value for name, value in terms.items() if "loss" in name).backward()
    for name, parameter in trainer.named_parameters():
        if name.startswith("backbone."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_without_uncertainty_and_projection_it_is_the_mean_squared_residual(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch
) -> None:
    actual = losses(make_trainer(BILINEAR, uncertainty=False, projection=0, crf=0).eval(), batch)
    assert actual.keys() == {"loss_reconstruction", "mse"}
    torch.testing.assert_close(actual["loss_reconstruction"], actual["mse"])


def test_features_of_pooled_colours_are_met_exactly(batch: Batch) -> None:
    """A backbone that pools colours over cells and an upsampler that gives the image itself: no
    residual at all.
    """
    image = batch.views["global"].images[:, 0]
    objective = MultiViewConsistency(
        3,
        8,
        downsampler=dict(type="SimpleDownsampler"),
        pad=4,
        uncertainty=False,
        crf=0,
        projection=0,
    )

    class Colours(Upsampler):
        def upsample(self, image: Tensor, features: Tensor, output_size: tuple[int, int]) -> Tensor:
            return image

    actual = objective(image, nn.AvgPool2d(8), Colours())
    assert float(actual["mse"]) < 1e-10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(jitters=0), "MultiViewConsistency.jitters=0: must be at least 1"),
        (dict(crf=-1.0), "crf=-1.0: must be at least 0"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiViewConsistency(4, 8, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("upsampler", [JBU, NEIGHBOURHOOD, BILINEAR], ids=lambda u: u["type"])
def test_gradient_on_a_gpu_is_that_of_the_cpu(
    make_trainer: Callable[..., UpsamplerTrainer], batch: Batch, upsampler: dict[str, Any]
) -> None:
    """Without what is drawn on the device: dropout, projections."""
    trainers = [make_trainer(upsampler, projection=0, crf=0).eval() for _ in range(2)]
    trainers[1].cuda()
    actual, expected = gradients(trainers[1], batch.to("cuda")), gradients(trainers[0], batch)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-3, atol=1e-5)
