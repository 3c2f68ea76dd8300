"""Fitting the implicit upsampler to an encoder whose fine features are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from pretrain.upsampling.downsamplers import gaussian_blur
from pretrain.upsampling.implicit import ImplicitSettings, ImplicitUpsampler, fit_implicit
from pretrain.upsampling.jitter import draw_jitter
from pretrain.upsampling.losses import total_variation

MIX = torch.linspace(-1, 1, 24).sin().view(8, 3) + torch.eye(8, 3)
SMALL = dict(
    steps=3, n_views=6, batch=4, pca_views=3, views_per_step=2, pad=3, hidden=8, frequencies=4
)


def fine(image: Tensor) -> Tensor:
    """The features that ``encode`` pools: a mix of colours, (B, 8, H, W)."""
    return torch.einsum("kc,bchw->bkhw", MIX.to(image), image)


def encode(image: Tensor) -> Tensor:
    """A backbone of 8 pixels per cell whose fine features are known."""
    return F.avg_pool2d(fine(image), 8)


def picture() -> Tensor:
    """Two rectangles on a ground, (1, 3, 32, 40)."""
    image = torch.tensor([-1.0, 0, 0.5]).view(1, 3, 1, 1).repeat(1, 1, 32, 40)
    image[:, :, 5:18, 12:33] = torch.tensor([1, 0.5, -1]).view(3, 1, 1)
    image[:, :, 15:29, 4:17] = torch.tensor([0, -1.5, 0]).view(3, 1, 1)
    return image


def test_fits_better_than_bilinear() -> None:
    image = picture()
    settings = ImplicitSettings(
        steps=80, n_views=32, views_per_step=2, pad=5, hidden=48, dropout=0.1
    )
    reported: list[tuple[str, int, int]] = []
    field, losses = fit_implicit(encode, image, settings, lambda *event: reported.append(event))
    assert losses.shape == (80,) and losses[-20:].mean() < losses[:5].mean() - 0.1
    bilinear = F.interpolate(encode(image), size=(32, 40), mode="bilinear")
    error = F.mse_loss(field.read(image, (32, 40)), fine(image))
    assert error < 0.4 * F.mse_loss(bilinear, fine(image))
    assert (
        reported[0] == ("views", 32, 32)
        and reported[1] == ("steps", 1, 80)
        and reported[-1] == ("steps", 80, 80)
    )
    assert field.components.basis.shape == (8, 8)  # fewer than 128: there are 8 channels


def test_loss_of_a_step_written_out() -> None:
    """One view, no dropout, a mean as the downsampler and a learning rate of 0: the field is the
    one of that step.
    """
    image, settings = (
        picture(),
        dict(SMALL, n_views=1, views_per_step=1, dropout=0.0, lr=0.0, steps=1),
    )
    settings |= dict(downsampler=dict(type="SimpleDownsampler"), uncertainty=False, seed=5)
    weights = dict(magnitude=0.3, tv=0.7, blur=0.9)
    field, losses = fit_implicit(encode, image, ImplicitSettings(**settings, **weights))
    jitter = draw_jitter((32, 40), torch.Generator().manual_seed(5), pad=3, max_zoom=1.8)
    target = field.components.project(encode(jitter(image)))
    with torch.no_grad():
        f = field.network(field.signals(image))
    length = f.square().sum(1, keepdim=True).sqrt()
    expected = (F.avg_pool2d(jitter(f), 8) - target).square().mean()
    expected += (
        0.3
        * (F.avg_pool2d(jitter(length), 8) - target.square().sum(1, keepdim=True).sqrt())
        .square()
        .mean()
    )
    expected += 0.7 * total_variation(length) + 0.9 * (gaussian_blur(f) - f).square().mean()
    torch.testing.assert_close(losses, expected[None])


def test_same_seed_same_field_and_global_random_state_untouched() -> None:
    image, before = picture(), torch.random.get_rng_state()
    fields = [
        fit_implicit(encode, image, ImplicitSettings(**SMALL, seed=seed))[0] for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    first, again, other = (field.read(image, (16, 20)) for field in fields)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_as_an_upsampler_every_image_is_fitted_by_itself() -> None:
    images = torch.cat([picture(), picture().flip(3)])
    up = ImplicitUpsampler(encode, **SMALL)
    with torch.inference_mode():  # as the evaluation calls it
        both = up.upsample(images, encode(images).half(), (16, 20))
    assert both.shape == (2, 8, 16, 20) and both.dtype == torch.half
    again = (
        MODELS.build(dict(up.config))
        .bind(encode)
        .upsample(images[1:], encode(images[1:]), (16, 20))
    )
    torch.testing.assert_close(again.half(), both[1:])


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(steps=0), "steps=0: must be at least 1"),
        (dict(tv=-1.0), "tv=-1.0: must be at least 0"),
        (dict(pca_views=65), "pca_views=65: batch=64 is the most"),
    ],
)
def test_wrong_settings_are_named(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImplicitUpsampler(encode, **options)


def test_wrong_images_are_named_before_anything_is_fitted() -> None:
    with pytest.raises(ValueError, match=r"image must be \(1, 3, H, W\).*found \(2, 3, 32, 40\)"):
        fit_implicit(encode, picture().repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match="features have 5 channels but encode gives 8"):
        ImplicitUpsampler(encode)(picture(), torch.zeros(1, 5, 4, 5), (8, 8))
    with pytest.raises(ValueError, match="has no encode"):
        ImplicitUpsampler()(picture(), torch.zeros(1, 8, 4, 5), (8, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_random_states_are_left_alone() -> None:
    image, before = picture().cuda(), torch.cuda.get_rng_state()
    fields = [fit_implicit(encode, image, ImplicitSettings(**SMALL))[0] for _ in range(2)]
    assert torch.equal(torch.cuda.get_rng_state(), before)
    first, again = (field.read(image, (16, 20)) for field in fields)
    torch.testing.assert_close(
        first, again, atol=1e-3, rtol=1e-3
    )  # sums of mirrored borders come in any order there
