"""k-means against a published implementation's result, loops and cases known on paper."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pretrain.clustering import k_means, lloyd, spread_starts


def uniforms(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_lloyd_from_given_starts_gives_the_reference_result() -> None:
    """faiss with these starts and 10 iterations gave the centres, assignment and inertia."""
    n = torch.arange(12)
    points = torch.stack([7 * n % 11, 5 * n % 13], 1).double()
    centres, labels = lloyd(points, points[:3], rounds=10, tolerance=0)
    expected = torch.tensor([[1 / 3, 4 / 3], [8, 4.8], [3.5, 10.5]], dtype=torch.float64)
    torch.testing.assert_close(centres, expected)
    assert labels.tolist() == [0, 1, 2, 1, 1, 2, 1, 2, 0, 1, 2, 0]
    assert float((points - centres[labels]).square().sum()) == pytest.approx(40.133333, abs=1e-6)


def test_starts_are_drawn_by_squared_distance() -> None:
    points = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    # From 0 the squared distances are 0, 1 and 9: a tenth of the draws is point 1.
    for uniform, expected in ((0.0, 1.0), (0.0999, 1.0), (0.1001, 3.0), (0.9999, 3.0)):
        starts = spread_starts(points, torch.tensor([0.1, uniform], dtype=torch.float64))
        assert starts.flatten().tolist() == [0.0, expected]


def test_separate_clouds_are_found_from_any_draw() -> None:
    generator = torch.Generator().manual_seed(1)
    centres = 10 * torch.eye(5, dtype=torch.float64)
    truth = torch.arange(5).repeat_interleave(20)
    points = centres[truth] + 0.1 * torch.randn(100, 5, generator=generator, dtype=torch.float64)
    for seed in range(10):
        labels = k_means(points, uniforms(5, seed))
        for cloud in range(5):
            own = labels[truth == cloud]
            assert (own == own[0]).all()
        assert labels.unique().tolist() == [0, 1, 2, 3, 4]


def test_a_cluster_without_points_takes_the_farthest_one() -> None:
    points = torch.tensor([[0.0], [1.0], [2.0], [10.0]], dtype=torch.float64)
    starts = torch.tensor([[1.0], [50.0]], dtype=torch.float64)
    centres, labels = lloyd(points, starts)
    assert labels.tolist() == [0, 0, 0, 1] and centres.flatten().tolist() == [1, 10]


@pytest.mark.parametrize("differing", [1, 2, 3])
def test_fewer_differing_points_than_clusters_give_fewer_clusters(differing: int) -> None:
    points = torch.eye(3, dtype=torch.float64)[torch.arange(9) % differing]
    labels = k_means(points, uniforms(6))
    assert labels.unique().tolist() == list(range(differing))
    for one in range(differing):
        assert labels[one::differing].unique().numel() == 1


def test_it_ends_when_centres_stand_still_and_draws_no_random_numbers() -> None:
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = torch.get_rng_state()
    long = lloyd(points, points[:4], rounds=1000, tolerance=0)
    assert torch.equal(lloyd(points, points[:4], rounds=2000, tolerance=0)[0], long[0])
    assert torch.equal(torch.get_rng_state(), before)
