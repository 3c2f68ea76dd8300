"""The implicit field: its features and network against loops over pixels, its reading, principal
components.
"""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from heads.upsamplers.implicit import FourierFeatures, ImplicitField, ImplicitNetwork
from heads.upsamplers.principal import PrincipalComponents


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def field(**options: int) -> ImplicitField:
    components = PrincipalComponents.fit(torch.randn(2, 7, 5, 5).double(), 4)
    return ImplicitField(
        torch.randn(1, 3, 9, 11).double(), components, **(dict(hidden=8, frequencies=3) | options)
    )


def test_size_and_frequencies() -> None:
    network = ImplicitNetwork()
    assert sum(p.numel() for p in network.parameters()) == 73_098
    assert network[0].channels == 303 and network(torch.randn(2, 5, 3, 4)).shape == (2, 128, 3, 4)
    omega = network[0].omega
    torch.testing.assert_close(omega[:3], torch.tensor([0.1353, 0.2047, 0.3096]), atol=5e-5, rtol=0)
    assert omega[-1].item() == pytest.approx(22026.5, abs=0.1) and len(omega) == 30
    torch.testing.assert_close(
        omega[1:] / omega[:-1], torch.full((29,), 1.51254), atol=1e-5, rtol=0
    )


def test_fourier_features_are_frequency_major() -> None:
    module, signals = FourierFeatures(4).double(), torch.randn(1, 5, 2, 3).double()
    found = module(signals)[0]
    assert found.shape == (43, 2, 3)
    for k in range(4):
        for signal in range(5):
            phase = module.omega[k] * signals[0, signal]
            place = 5 * k + signal
            torch.testing.assert_close(found[place], (phase + module.sine_phase[k, signal]).sin())
            torch.testing.assert_close(
                found[20 + place], (phase + module.cosine_phase[k, signal]).cos()
            )
    assert torch.equal(found[40:], signals[0, 2:])


def test_network_equals_an_mlp_on_every_pixel() -> None:
    network, signals = ImplicitNetwork(6, 8, 3).double().eval(), torch.randn(1, 5, 2, 3).double()
    first, second, third = (network[i] for i in (3, 7, 9))
    features, found = network[0](signals), network(signals)

    def linear(layer: torch.nn.Conv2d, x: Tensor) -> Tensor:
        return layer.weight[:, :, 0, 0] @ x + layer.bias

    def norm(x: Tensor) -> Tensor:  # scales start at 1, offsets at 0
        return (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()

    for y in range(2):
        for x in range(3):
            hidden = linear(first, norm(features[0, :, y, x])).relu()
            hidden = linear(second, norm(hidden)).relu()
            torch.testing.assert_close(found[0, :, y, x], linear(third, hidden))


def test_signals_are_places_and_colours_in_the_range_of_the_fitted_image() -> None:
    image = torch.rand(1, 3, 5, 4) * torch.tensor([1.0, 7.0, 0.0]).view(3, 1, 1)
    signals = ImplicitField(image, PrincipalComponents(6, 2), hidden=8, frequencies=2).signals(
        image
    )[0]
    assert (
        signals[0, :, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
        and signals[1, 2, 0] == -1
        and signals[1, 2, 3] == 1
    )
    for channel in (2, 3):
        assert signals[channel].min() == -0.5 and signals[channel].max() == pytest.approx(0.5)
    assert torch.equal(signals[4], torch.full((5, 4), -0.5))  # a channel without contrast


@pytest.mark.parametrize("size", [(9, 11), (4, 5), (20, 17), (1, 1)])
def test_bands_equal_the_whole_and_mode_does_not_matter(size: tuple[int, int]) -> None:
    up, image = field(), torch.randn(1, 3, 9, 11).double()
    whole = up.read(image, size)
    assert whole.shape == (1, 7, *size) and up.training
    torch.testing.assert_close(up.read(image, size, budget=1), whole, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        up.eval().read(image, size, budget=33 * 2 * size[1]), whole, atol=1e-12, rtol=0
    )
    resized = F.interpolate(image, size=size, mode="bilinear", antialias=True)
    torch.testing.assert_close(up.components.unproject(up.network(up.signals(resized))), whole)


def test_a_saved_field_reads_the_same() -> None:
    up, image = field(), torch.randn(1, 3, 9, 11).double()
    other = field()
    other.load_state_dict(up.state_dict())
    assert torch.equal(other.read(image, (6, 6)), up.read(image, (6, 6)))


def test_principal_components_of_maps_of_low_rank_lose_nothing() -> None:
    maps = (
        torch.einsum("bkhw,ck->bchw", torch.randn(3, 2, 4, 5).double(), torch.randn(6, 2).double())
        + 3
    )
    fitted = PrincipalComponents.fit(maps, 2)
    torch.testing.assert_close(fitted.unproject(fitted.project(maps)), maps)
    torch.testing.assert_close(fitted.basis.T @ fitted.basis, torch.eye(2).double())
    torch.testing.assert_close(fitted.mean, maps.mean((0, 2, 3)))
    samples = maps.movedim(1, -1).flatten(0, 2) - fitted.mean
    largest = torch.linalg.svdvals(samples)[:2]
    torch.testing.assert_close((samples @ fitted.basis).norm(dim=0), largest)


@pytest.mark.parametrize(
    "shape, components, expected", [((1, 9, 2, 2), 128, 4), ((2, 3, 5, 5), 128, 3)]
)
def test_fewer_components_than_asked(
    shape: tuple[int, ...], components: int, expected: int
) -> None:
    assert PrincipalComponents.fit(torch.randn(shape), components).basis.shape == (
        shape[1],
        expected,
    )


def test_principal_components_by_their_own_random_numbers() -> None:
    maps, before = torch.randn(2, 9, 6, 6), torch.random.get_rng_state()
    first, again = (PrincipalComponents.fit(maps, 3, seed=1).basis for _ in range(2))
    assert torch.equal(first, again) and torch.equal(torch.random.get_rng_state(), before)
    assert math.isclose(float(first.norm()), math.sqrt(3), rel_tol=1e-5)
