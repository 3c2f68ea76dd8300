"""Place in features: by the specification's vectors, by loops, and in cases known on paper."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.core.place import (
    BlackBasis,
    Moments,
    coordinates,
    plane_of,
    remove,
    ridge,
    share_of_place,
)

GRID = (3, 4)


@pytest.fixture
def features() -> Tensor:
    """(3, 12, 4): the vectors' features of three images."""
    n, r, c = torch.meshgrid(torch.arange(3), torch.arange(3), torch.arange(4), indexing="ij")
    a, b = ((n + 2 * r + 3 * c) % 5) / 4, ((2 * n + r + c) % 3) / 2
    channels = [(r / 2) ** 2 + 0.3 * a, torch.sin(c.double()) + 0.2 * b, a, b]
    return torch.stack([channel.double() for channel in channels], -1).flatten(1, 2)


def moments_of(features: Tensor, targets: Tensor) -> Moments:
    moments = Moments(features.shape[-1], targets.shape[-1])
    for image in features:
        moments.add(image, targets)
    return moments


def explained(predicted: Tensor, targets: Tensor) -> list[float]:
    errors = (targets - predicted).square().sum(0)
    return (1 - errors / (targets - targets.mean(0)).square().sum(0)).tolist()


@pytest.mark.parametrize(
    ("penalty", "expected"), [(1.0, (0.890044, -0.042037)), (0.0, (0.920536, -0.064491))]
)
def test_ridge_of_the_vectors(
    features: Tensor, penalty: float, expected: tuple[float, float]
) -> None:
    """Fitted on images 0 and 1, read on image 2; scikit-learn's λ is a sum over 24 cells."""
    places = coordinates(GRID)
    fitted = ridge(moments_of(features[:2], places), penalty / 24, standardise=False)
    assert explained(fitted(features[2]), places) == pytest.approx(expected, abs=1e-5)


def test_ridge_does_not_depend_on_the_scale_of_channels(features: Tensor) -> None:
    places = coordinates(GRID)
    scaled = features * torch.tensor([1e-3, 1, 50, 7.0]) + torch.tensor([5, 0, -3, 1.0])
    plain, other = (ridge(moments_of(x[:2], places), 0.1) for x in (features, scaled))
    torch.testing.assert_close(plain(features[2]), other(scaled[2]), rtol=1e-6, atol=1e-9)


def test_ridge_equals_the_obvious_solution(features: Tensor) -> None:
    places = coordinates(GRID)
    rows, targets = features[:2].flatten(0, 1), places.repeat(2, 1)
    mean, std = rows.mean(0), rows.std(0, correction=0)
    standard = (rows - mean) / std
    normal = standard.T @ standard / 24 + 0.05 * torch.eye(4)
    weight = torch.linalg.solve(normal, standard.T @ (targets - targets.mean(0)) / 24)
    expected = (features[2] - mean) / std @ weight + targets.mean(0)
    fitted = ridge(moments_of(features[:2], places), 0.05)
    torch.testing.assert_close(fitted(features[2]), expected)


def test_a_constant_channel_has_no_weight(features: Tensor) -> None:
    places = coordinates(GRID)
    more = torch.cat([features, torch.full((3, 12, 1), 3.0)], -1)
    plain, with_constant = (ridge(moments_of(x, places), 0.1) for x in (features, more))
    assert with_constant.weight[4].abs().max() == 0
    torch.testing.assert_close(plain(features[0]), with_constant(more[0]))


def test_a_fit_without_directions_is_the_fit_of_features_without_them(features: Tensor) -> None:
    places = coordinates(GRID)
    plane = plane_of(ridge(moments_of(features, places), 0.1).weight)
    cleaned = remove(features, plane)
    expected = ridge(moments_of(cleaned, places), 0.1)(cleaned[1])
    actual = ridge(moments_of(features, places), 0.1, without=plane)(features[1])
    torch.testing.assert_close(actual, expected)


def test_share_of_the_vectors(features: Tensor) -> None:
    squares = float(features.square().sum())
    share, chance, corrected = share_of_place(features.mean(0), squares, 3)
    assert share == pytest.approx(0.575065, abs=1e-6)
    assert chance == pytest.approx(0.314286, abs=1e-6)
    assert corrected == pytest.approx(0.380303, abs=1e-6)


def test_share_is_all_where_images_are_equal_and_nothing_by_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    one = torch.randn(1, 12, 5, generator=generator, dtype=torch.float64).expand(6, 12, 5)
    share = share_of_place(one.mean(0), float(one.square().sum()), 6)
    assert share[0] == pytest.approx(1) and share[2] == pytest.approx(1)
    noise = torch.randn(400, 12, 50, generator=generator, dtype=torch.float64) + 3
    share = share_of_place(noise.mean(0), float(noise.square().sum()), 400)
    assert share[0] == pytest.approx(share[1], rel=0.1) and abs(share[2]) < 1e-3
    still = torch.ones(5, 12, 3, dtype=torch.float64)
    share = share_of_place(still.mean(0), float(still.square().sum()), 5)
    assert share[2] != share[2]  # not a number: nothing varies


def test_the_plane_of_the_vectors() -> None:
    """The projection of RASA's own function."""
    weight = torch.tensor([[1, 0], [0, 1], [2, 1], [0, -1]], dtype=torch.float64)
    cleaned = remove(torch.tensor([1.0, 2, 3, 4], dtype=torch.float64), plane_of(weight))
    expected = [-0.727273, 2.818182, 0.363636, 3.181818]
    assert cleaned.tolist() == pytest.approx(expected, abs=1e-6)


def test_removing_twice_is_removing_once() -> None:
    weight = torch.tensor([[1, 2, 1], [0, 1, 0], [2, 1, 2]], dtype=torch.float64)
    plane = plane_of(weight)
    assert plane.shape == (3, 2)  # the third direction is the first one
    torch.testing.assert_close(plane.T @ plane, torch.eye(2, dtype=torch.float64))
    once = remove(torch.arange(6.0, dtype=torch.float64).view(2, 3), plane)
    torch.testing.assert_close(remove(once, plane), once)


def black_maps() -> Tensor:
    r, c = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")
    channels = [torch.cos(0.3 * r + 0.5 * c + 0.2 * d * r) for d in range(4)]
    return torch.stack(channels).double()[None]


def test_the_black_basis_of_the_vectors() -> None:
    """INSID3's own function gave these numbers."""
    basis = BlackBasis.of(black_maps(), 2)
    cell = torch.tensor([0.0, 1, 0, -1], dtype=torch.float64)
    maps = cell.view(1, 4, 1, 1).expand(1, 4, *GRID)
    cleaned = basis.clean(maps)
    expected = [-0.599060, 0.701816, 0.165735, -0.348015]
    assert cleaned[0, :, 1, 2].tolist() == pytest.approx(expected, abs=1e-5)
    stays = remove(F.normalize(cell, dim=0), basis.directions).norm()
    assert float(stays) == pytest.approx(0.742342, abs=1e-5)


def test_the_black_basis_belongs_to_one_grid() -> None:
    with pytest.raises(ValueError, match="maps of 2 x 4 cells.*those of 3 x 4 cells"):
        BlackBasis.of(black_maps(), 2).clean(torch.ones(1, 4, 2, 4))


def test_a_black_image_without_places_has_no_directions() -> None:
    basis = BlackBasis.of(torch.ones(1, 6, 5, 5) * torch.rand(1, 6, 1, 1), 3)
    assert basis.directions.shape == (6, 0)


def test_coordinates_run_from_corner_to_corner() -> None:
    assert coordinates((2, 3)).tolist() == [[0, 0], [0, 0.5], [0, 1], [1, 0], [1, 0.5], [1, 1]]
    with pytest.raises(ValueError, match="a grid of 1 x 4 cells has no places"):
        coordinates((1, 4))
