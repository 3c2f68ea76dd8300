"""Misalignment: the specification's vectors (numpy float64, computed apart from this code), the
infimum that defines it, minimised numerically, and what must not change it.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks.analysis.misalignment import (
    Covariance,
    Eigenspaces,
    covariance,
    eigenspaces,
    misalignment,
    patches,
    random_basis,
    random_misalignments,
    sampling_floor,
    simulated_floor,
    transfer,
)

WEIGHTS = [[3.0, 1.0, 0.0], [1.0, 2.0, 0.5], [0.0, 0.5, 1.0]]


def matrix(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def rotation(degrees: float) -> Tensor:
    angle = math.radians(degrees)
    return matrix([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def random_covariance(dimension: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(3 * dimension, dimension, dtype=torch.float64, generator=generator)
    return covariance(rows)


@pytest.mark.parametrize(
    ("inputs", "weights", "expected"),
    [
        (diagonal(4, 1), matrix([[2.0, 1.0], [1.0, 2.0]]), 0.309401),
        (diagonal(3, 2, 1), matrix(WEIGHTS), 0.384267),
        (diagonal(2, 2, 1), matrix(WEIGHTS), 0.448597),
        (torch.eye(3), matrix(WEIGHTS), 0.710082),
        (matrix([[2.0, 0.5], [0.5, 1.0]]), matrix([[1.0, 0.2], [0.2, 3.0]]), 0.230016),
    ],
)
def test_vectors_of_the_specification(inputs: Tensor, weights: Tensor, expected: float) -> None:
    assert misalignment(eigenspaces(inputs), weights) == pytest.approx(expected, abs=1e-6)


def test_transfer_function_of_the_specification() -> None:
    """The specification lists the smaller σ first."""
    spaces = eigenspaces(matrix([[2.0, 0.5], [0.5, 1.0]]))
    gains = transfer(spaces, matrix([[1.0, 0.2], [0.2, 3.0]]))
    assert spaces.deviations.tolist() == pytest.approx([1.485633, 0.890446], abs=1e-6)
    assert gains.tolist() == pytest.approx([1.197629, 1.601776], abs=1e-6)


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (4, 0.384848), (9, 1.05505), (100, 6.803834)])
def test_an_ellipse_turned_by_30_degrees(k: float, expected: float) -> None:
    weights = rotation(30) @ diagonal(k, 1) @ rotation(30).T
    spaces = eigenspaces(diagonal(2, 1))
    assert misalignment(spaces, weights) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("values", [(3, 2, 1), (2, 2, 1), (3, 1, 1), (1, 1, 1)])
def test_it_is_the_smallest_divergence_of_an_aligned_covariance(values: tuple[int, ...]) -> None:
    """The definition itself: Σ has one free eigenvalue on each eigenspace of the inputs."""
    basis = random_basis(3, torch.Generator().manual_seed(0))
    spaces = eigenspaces(basis @ diagonal(*values) @ basis.T)
    weights = random_covariance(3, seed=1)
    logs = torch.zeros(len(spaces.sizes), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([logs], max_iter=200, tolerance_grad=1e-12)

    def divergence() -> Tensor:
        scales = logs.exp().repeat_interleave(torch.tensor(spaces.sizes))
        aligned = spaces.vectors @ torch.diag(scales) @ spaces.vectors.T
        inside = torch.linalg.solve(aligned, weights) + torch.linalg.solve(weights, aligned)
        return (inside / 2 - torch.eye(3, dtype=torch.float64)).trace()

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = divergence()
        value.backward()
        return value

    optimiser.step(closure)
    assert misalignment(spaces, weights) == pytest.approx(divergence().item(), abs=1e-9)


@pytest.mark.parametrize("values", [(3, 2, 1), (2, 2, 1)])
def test_a_factor_and_a_common_rotation_change_nothing(values: tuple[int, ...]) -> None:
    inputs, weights = diagonal(*values), matrix(WEIGHTS)
    expected = misalignment(eigenspaces(inputs), weights)
    turn = random_basis(3, torch.Generator().manual_seed(2))
    turned = misalignment(eigenspaces(turn @ inputs @ turn.T), turn @ weights @ turn.T)
    assert turned == pytest.approx(expected, abs=1e-9)
    assert misalignment(eigenspaces(inputs), 7 * weights) == pytest.approx(expected, abs=1e-12)


def test_aligned_weights_have_none_and_others_some() -> None:
    inputs = random_covariance(5, seed=0)
    spaces = eigenspaces(inputs)
    for weights in (inputs, inputs @ inputs, torch.linalg.inv(inputs), torch.eye(5)):
        assert misalignment(spaces, weights) == pytest.approx(0, abs=1e-9)
    assert misalignment(spaces, random_covariance(5, seed=1)) > 0.1


def test_the_order_of_a_basis_and_its_signs_change_nothing() -> None:
    spaces = eigenspaces(diagonal(3, 2, 1))
    other = Eigenspaces(spaces.values, -spaces.vectors[:, [2, 0, 1]], (1, 1, 1))
    weights = matrix(WEIGHTS)
    assert misalignment(other, weights) == pytest.approx(misalignment(spaces, weights), abs=1e-12)


def test_eigenspaces_are_grouped_by_value() -> None:
    basis = random_basis(6, torch.Generator().manual_seed(3))
    spaces = eigenspaces(basis @ diagonal(1, 5, 2, 2, 5, 5) @ basis.T)
    assert spaces.sizes == (3, 2, 1)
    assert spaces.values.tolist() == pytest.approx([5, 5, 5, 2, 2, 1])
    identity = spaces.vectors.T @ spaces.vectors
    torch.testing.assert_close(identity, torch.eye(6, dtype=torch.float64))


def test_leading_directions_are_whole_eigenspaces() -> None:
    spaces = eigenspaces(diagonal(5, 3, 3, 1))
    assert spaces.leading(0) is spaces and spaces.leading(4) is spaces
    assert spaces.leading(3).sizes == (1, 2) and spaces.leading(2).sizes == (1,)
    with pytest.raises(ValueError, match="leading=1: the first eigenspace .* has 2 dimensions"):
        eigenspaces(diagonal(3, 3, 1)).leading(1)
    # Within two directions it is that of the weights' projection on them.
    weights = random_covariance(4, seed=2)
    inside = misalignment(eigenspaces(diagonal(4, 3, 2, 1)).leading(2), weights)
    assert inside == pytest.approx(misalignment(eigenspaces(diagonal(2, 1)), weights[:2, :2]))


def test_patches_and_filters_are_flattened_in_one_order() -> None:
    """A tensor of 3 channels, 2 rows and 2 columns, 0 to 11: C, H, W is 0 to 11; H, W, C would be
    0 4 8 1 5 9 2 6 10 3 7 11.
    """
    block = torch.arange(12.0).view(3, 2, 2)
    (patch,) = patches(block[None], (2, 2))
    assert patch.tolist() == [list(map(float, range(12)))] == [block.flatten().tolist()]
    swapped = block.permute(1, 2, 0).flatten().tolist()
    assert swapped == [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11] != patch[0].tolist()


@pytest.mark.parametrize("dilation", [(1, 1), (2, 1)])
def test_a_filter_times_a_patch_is_the_convolution(dilation: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(5, 3, 7, 6, dtype=torch.float64, generator=generator)
    filters = torch.randn(4, 3, 2, 3, dtype=torch.float64, generator=generator)
    rows = torch.cat(list(patches(maps, (2, 3), dilation=dilation)))
    expected = torch.nn.functional.conv2d(maps, filters, dilation=dilation)
    answers = (rows @ filters.flatten(1).T).view(5, *expected.shape[2:], 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(answers, expected)


def test_maps_without_room_for_a_filter_are_refused() -> None:
    with pytest.raises(ValueError, match="maps of 2 × 5 cells: a filter spans 3 × 3"):
        next(patches(torch.zeros(1, 1, 2, 5), (3, 3)))


def test_a_covariance_in_pieces_is_the_whole_one() -> None:
    generator = torch.Generator().manual_seed(0)
    # A mean far from zero: sums of squares in one go would lose digits.
    rows = 1e4 + torch.randn(50, 4, dtype=torch.float64, generator=generator)
    gathered = Covariance(4)
    for piece in rows.split([1, 30, 19]):
        gathered.add(piece)
    torch.testing.assert_close(gathered.matrix, torch.cov(rows.T), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gathered.mean, rows.mean(0))
    with pytest.raises(ValueError, match="1 vectors have no covariance"):
        covariance(rows[:1])


@pytest.mark.parametrize(
    ("units", "dimension", "expected", "spread"),
    [(256, 27, 1.51, 0.13), (64, 27, 8.53, 0.9), (256, 75, 14.1, 0.6), (1120, 75, 2.6, 0.15)],
)
def test_floors_of_the_specification(
    units: int, dimension: int, expected: float, spread: float
) -> None:
    """Isotropic weights: the specification's mean, and its spread where it states one (elsewhere
    what 20 draws here have).
    """
    floors = simulated_floor((1,) * dimension, units, draws=8, seed=0)
    assert sum(floors) / len(floors) == pytest.approx(expected, abs=spread)
    assert sampling_floor(dimension, units) == pytest.approx(expected, rel=0.1)


def test_a_large_layer_has_hardly_a_floor() -> None:
    (floor,) = simulated_floor((1,) * 27, 4096, draws=1, seed=0)
    assert floor == pytest.approx(0.09, abs=0.01) == sampling_floor(27, 4096)


def test_the_floor_is_that_of_any_aligned_weights() -> None:
    """Stretched along the basis, draw by draw the same value; stretched askew, a larger one."""
    sizes = (1, 2, 3)
    stretch = torch.tensor([5.0, 2.0, 2.0, 0.1, 0.1, 0.1], dtype=torch.float64)
    rows = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    (floor,) = simulated_floor(sizes, 40, draws=1, seed=4)
    axes = Eigenspaces(stretch, torch.eye(6, dtype=torch.float64), sizes)
    assert misalignment(axes, covariance(rows * stretch)) == pytest.approx(floor, abs=1e-9)
    askew = random_basis(6, torch.Generator().manual_seed(5))
    assert misalignment(axes, covariance(rows * stretch @ askew)) > 2 * floor


def test_random_bases_see_misalignment_where_the_right_one_sees_none() -> None:
    inputs = diagonal(*range(1, 9))
    spaces = eigenspaces(inputs)
    control = random_misalignments(spaces, inputs @ inputs, bases=5, seed=0)
    assert len(set(control)) == 5 and min(control) > 1 > misalignment(spaces, inputs @ inputs)
    assert control == random_misalignments(spaces, inputs @ inputs, bases=5, seed=0)
    flat = random_misalignments(spaces, torch.eye(8), bases=3, seed=0)
    assert flat == pytest.approx([0, 0, 0], abs=1e-9)  # isotropic: no basis is better


def test_singular_weights_are_refused() -> None:
    few = covariance(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="singular on 4 directions .* more units than directions"):
        misalignment(eigenspaces(diagonal(4, 3, 2, 1)), few)
    with pytest.raises(ValueError, match="units=29, dimension=27: .* from 30 units on"):
        sampling_floor(27, 29)
