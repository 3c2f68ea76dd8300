"""The draw: probabilities, ranges, validation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from pretrain.structures import Photometric
from pretrain.views.photometric import (
    Blur,
    Jitter,
    PhotometricSpec,
    Solarise,
    blur_kernel,
    blur_radius,
    sample,
)

DRAWS = 4000


def draws(spec: PhotometricSpec, count: int = DRAWS) -> Photometric:
    rng = np.random.default_rng(1)
    return Photometric.stack([sample(spec, rng) for _ in range(count)])


def share(mask: torch.Tensor, expected: float) -> None:
    """Asserts that the share of True is the expected one within four standard errors."""
    assert (
        abs(mask.double().mean().item() - expected)
        <= 4 * (expected * (1 - expected) / len(mask)) ** 0.5
    )


def test_probabilities_and_ranges_are_those_of_the_settings() -> None:
    spec = PhotometricSpec(
        jitter=Jitter(0.4, 0.3, 0.2, 0.1, p=0.8),
        grey=0.2,
        blur=Blur(0.3, (0.1, 2.0)),
        solarise=Solarise(0.15),
    )
    p = draws(spec)
    jittered = p.brightness != 1
    share(jittered, 0.8)
    share(p.grey, 0.2)
    share(p.blur_sigma > 0, 0.3)
    share(p.solarise <= 1, 0.15)
    assert torch.equal(jittered, p.hue != 0), "jitter is all or nothing"
    for values, low, high in [
        (p.brightness, 0.6, 1.4),
        (p.contrast, 0.7, 1.3),
        (p.saturation, 0.8, 1.2),
        (p.hue, -0.1, 0.1),
        (p.blur_sigma, 0.1, 2.0),
    ]:
        drawn = values[jittered] if values is not p.blur_sigma else values[values > 0]
        position = ((drawn.double() - low) / (high - low)).sort().values
        assert position.min() >= -1e-6 and position.max() <= 1 + 1e-6
        uniform = torch.linspace(0, 1, len(position), dtype=torch.float64)
        assert (position - uniform).abs().max() < 1.95 / len(
            position
        ) ** 0.5  # Kolmogorov-Smirnov at 0.1 %
    assert p.solarise[p.solarise <= 1].unique() == torch.tensor(128 / 255)


def test_orders_are_uniform_permutations() -> None:
    orders = Counter(tuple(o) for o in draws(PhotometricSpec()).order.tolist())
    assert len(orders) == 24 and all(sorted(o) == [0, 1, 2, 3] for o in orders)
    expected = DRAWS / 24
    chi_squared = sum((n - expected) ** 2 / expected for n in orders.values())
    assert chi_squared < 49.7  # 0.1 % point of chi squared with 23 degrees of freedom


def test_steps_are_independent_draws() -> None:
    p = draws(
        PhotometricSpec(
            jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.5),
            grey=0.5,
            blur=Blur(0.5),
            solarise=Solarise(0.5),
        )
    )
    gates = torch.stack([p.brightness != 1, p.grey, p.blur_sigma > 0, p.solarise <= 1]).double()
    assert (torch.corrcoef(gates) - torch.eye(4)).abs().max() < 4 / DRAWS**0.5


def test_changing_one_step_leaves_the_draws_of_the_others() -> None:
    base = dict(jitter=Jitter(0.4, 0.4, 0.2, 0.1), grey=0.2, blur=Blur(0.5), solarise=Solarise(0.2))
    a = draws(PhotometricSpec(**base), 50)
    b = draws(PhotometricSpec(**base | dict(jitter=None, solarise=None)), 50)
    assert (
        torch.equal(a.grey, b.grey)
        and torch.equal(a.blur_sigma, b.blur_sigma)
        and torch.equal(a.order, b.order)
    )


def test_fields_have_the_documented_types() -> None:
    p = sample(PhotometricSpec(jitter=Jitter(0.4, 0.4, 0.2, 0.1)), np.random.default_rng(0))
    assert p.order.dtype == torch.int64 and p.grey.dtype == torch.bool and p.order.shape == (4,)
    for name in ("brightness", "contrast", "saturation", "hue", "blur_sigma", "solarise"):
        assert getattr(p, name).dtype == torch.float32 and getattr(p, name).shape == ()


@pytest.mark.parametrize(
    "make, texts",
    [
        (lambda: Jitter(brightness=-0.1), ["jitter.brightness=-0.1", ">= 0"]),
        (lambda: Jitter(contrast=(1.2, 0.8)), ["jitter.contrast=(1.2, 0.8)", "low <= high"]),
        (lambda: Jitter(hue=0.6), ["jitter.hue=0.6", "[0, 0.5]"]),
        (lambda: Jitter(hue=(-0.7, 0.1)), ["jitter.hue", "-0.5 <= low"]),
        (lambda: Jitter(p=1.5), ["jitter.p=1.5", "[0, 1]"]),
        (lambda: Blur(p=0.5, sigma=(0.0, 2.0)), ["blur.sigma", "0.01 <= low"]),
        (lambda: Blur(p=0.5, sigma=2.0), ["blur.sigma=2.0", "(low, high)"]),
        (lambda: Solarise(p=0.2, threshold=128), ["solarise.threshold=128", "128 / 255"]),
        (lambda: PhotometricSpec(grey=True), ["grey=True", "probability"]),
        (lambda: PhotometricSpec(blur=dict(sigma=(1, 2))), ["blur", "blur.p is missing"]),
        (
            lambda: PhotometricSpec(jitter=dict(brigthness=0.4)),
            ["brigthness", "did you mean 'brightness'?"],
        ),
    ],
)
def test_errors_name_field_value_and_legal_range(make, texts: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        make()
    for word in texts:
        assert word in str(error.value)


def test_wrong_kind_of_setting_is_a_type_error() -> None:
    with pytest.raises(ValueError, match="jitter=0.4: must be a dict of brightness"):
        PhotometricSpec(jitter=0.4)


def test_strengths_become_factor_ranges() -> None:
    jitter = Jitter(brightness=1.5, contrast=(0.5, 0.9), saturation=0.2, hue=0.1)
    assert jitter.brightness == (0.0, 2.5) and jitter.contrast == (0.5, 0.9)
    assert jitter.saturation == (0.8, 1.2) and jitter.hue == (-0.1, 0.1)


def test_blur_radius_covers_three_sigma() -> None:
    sigmas = torch.tensor([0.1, 1 / 3, 0.34, 2 / 3, 1.0, 2.0], dtype=torch.float64)
    assert (
        blur_radius(sigmas).tolist() == blur_radius(sigmas.float()).tolist() == [1, 1, 2, 2, 3, 6]
    )
    wide, cut = blur_kernel(sigmas, 30)[-1], blur_kernel(sigmas, 6)[-1]
    assert abs(cut.sum() - 1) < 1e-12
    assert (
        wide - torch.nn.functional.pad(cut, (24, 24))
    ).abs().sum() * 255 / 2 < 1  # below one level for any image
