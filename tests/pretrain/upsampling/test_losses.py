"""Loss terms: worked examples, closed forms and loops."""

from __future__ import annotations

import math

import pytest
import torch

from pretrain.upsampling.losses import (
    LEAST_SCALE,
    Uncertainty,
    magnitude,
    magnitude_loss,
    project,
    random_projection,
    reconstruction,
    sampled_crf,
    total_variation,
)


def column(*values: float) -> torch.Tensor:
    """A feature (1, C, 1, 1)."""
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def test_reconstruction_worked_example() -> None:
    """By hand: mean squared residual 0.5, 0.5 / (2·0.49) + ln 0.7."""
    actual = reconstruction(column(0.5, 2.5, 0), column(1, 2, -1), column(0.7))
    torch.testing.assert_close(actual, torch.tensor([0.153529]).double(), rtol=0, atol=1e-6)
    assert float(reconstruction(column(0.5, 2.5, 0), column(1, 2, -1))) == pytest.approx(0.5)


def test_best_scale_is_the_root_mean_square_of_the_residual() -> None:
    prediction, target = torch.randn(2, 1, 4, 5, 6, dtype=torch.float64)
    log_scale = torch.zeros((), dtype=torch.float64, requires_grad=True)
    rms = ((prediction - target) ** 2).mean().sqrt()
    loss = reconstruction(
        prediction, target, (log_scale + rms.log()).exp().expand(1, 1, 5, 6)
    ).sum()
    (gradient,) = torch.autograd.grad(loss, log_scale)
    assert float(gradient) == pytest.approx(0, abs=1e-12)
    assert float(loss.detach()) == pytest.approx(0.5 + math.log(float(rms)))


def test_losses_of_images_are_their_own() -> None:
    prediction, target, scale = (
        torch.randn(3, 4, 5, 5),
        torch.randn(3, 4, 5, 5),
        torch.rand(3, 1, 5, 5) + 0.1,
    )
    alone = [
        reconstruction(p[None], t[None], s[None])
        for p, t, s in zip(prediction, target, scale, strict=True)
    ]
    torch.testing.assert_close(reconstruction(prediction, target, scale), torch.cat(alone))


def test_uncertainty_starts_near_one_and_never_falls_below_its_floor() -> None:
    torch.manual_seed(0)
    layer = Uncertainty(16)
    assert layer.conv.weight.abs().max() <= 0.1 / math.sqrt(16)
    actual = layer(torch.randn(2, 16, 3, 4))
    assert actual.shape == (2, 1, 3, 4) and 0.9 < actual.mean() < 1.35
    layer.conv.bias.data.fill_(-100.0)
    assert float(layer(torch.randn(2, 16, 3, 4)).detach().max()) == pytest.approx(LEAST_SCALE)


def test_mixed_precision_stays_out_of_the_losses() -> None:
    layer, target = Uncertainty(16), torch.randn(2, 16, 3, 4)
    prediction = (target + 0.01).bfloat16()
    scale = layer(target)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(target), scale)
        actual = reconstruction(prediction, target, layer(target))
        assert total_variation(prediction).dtype == torch.float32
    torch.testing.assert_close(actual, reconstruction(prediction.float(), target, scale))
    assert actual.dtype == torch.float32


def test_total_variation_worked_example() -> None:
    i, j = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")
    maps = torch.stack([i * j, i * j + 1])[None]
    assert float(total_variation(maps)) == pytest.approx(3.583333, abs=1e-6)
    assert float(total_variation(maps + 7)) == pytest.approx(3.583333, abs=1e-6)


def test_projection_keeps_lengths_on_average_and_columns_are_unit() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 64, 3, 3)
    projection = random_projection(2, 64, 4000, like=maps, generator=generator)
    torch.testing.assert_close(projection.norm(dim=1), torch.ones(2, 4000))
    assert not torch.equal(projection[0], projection[1])
    actual = project(maps, projection)
    torch.testing.assert_close(actual[1, :, 2, 0], projection[1].T @ maps[1, :, 2, 0])
    # E(rᵀx)² = ‖x‖²/C for a random unit r.
    torch.testing.assert_close((actual**2).mean(1) * 64, (maps**2).sum(1), rtol=0.12, atol=0)


def test_magnitude_terms_by_hand() -> None:
    maps = column(3, 4)
    assert float(magnitude(maps)) == 5
    assert float(magnitude_loss(column(2), maps)) == 9
    zero = torch.zeros(1, 2, 1, 1, requires_grad=True)
    magnitude(zero).sum().backward()
    assert torch.equal(zero.grad, torch.zeros_like(zero))


def test_crf_equals_loops_over_pairs() -> None:
    image = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    maps = torch.randn(2, 4, 5, 7, dtype=torch.float64)
    actual = sampled_crf(image, maps, samples=9, generator=torch.Generator().manual_seed(5))
    drawn = torch.randint(35, (9,), generator=torch.Generator().manual_seed(5)).tolist()
    total = 0.0
    for b in range(2):
        for one in drawn:
            for other in drawn:
                (y, x), (v, u) = divmod(one, 7), divmod(other, 7)
                place = ((y - v) / 5) ** 2 + ((x - u) / 7) ** 2
                colour = float(((image[b, :, y, x] - image[b, :, v, u]) ** 2).sum())
                weight = 10 * math.exp(-place / 0.2 - colour / 0.3) + 3 * math.exp(-place / 0.01)
                total += weight * float(((maps[b, :, y, x] - maps[b, :, v, u]) ** 2).sum())
    assert float(actual) == pytest.approx(total / (2 * 81))


def test_crf_prefers_features_that_follow_the_image() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 2.0
    along, across = image[:, :1].clone(), image[:, :1].transpose(2, 3).clone()
    losses = [
        float(sampled_crf(image, maps, generator=torch.Generator().manual_seed(0)))
        for maps in (0 * along, along, across)
    ]
    assert losses[0] == 0 and losses[1] < 0.5 * losses[2]
