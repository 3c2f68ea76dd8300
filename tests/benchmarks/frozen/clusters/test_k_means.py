"""k-means by both programs: blobs are found, draws are limited, mistakes are named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.frozen.clusters.k_means import KINDS, KMeans


@pytest.fixture
def blobs() -> Tensor:
    """(300, 4) float32: thirty clouds of ten points, far from each other."""
    generator = torch.Generator().manual_seed(0)
    centres = 20 * torch.randn(30, 4, generator=generator)
    return centres.repeat_interleave(10, 0) + 0.1 * torch.randn(300, 4, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_clouds_are_clusters(blobs: Tensor, kind: str) -> None:
    clouds = blobs[:40].view(4, 10, 4)
    labels, inertia = KMeans(4, kind, restarts=20, points_per_cluster=0)(clouds.flatten(0, 1))
    groups = labels.view(4, 10)
    assert (groups == groups[:, :1]).all() and len(set(groups[:, 0].tolist())) == 4
    expected = (clouds - clouds.mean(1, keepdim=True)).square().sum(-1).mean()
    assert inertia == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_clusters(blobs: Tensor, kind: str) -> None:
    runs = [KMeans(7, kind, restarts=1, seed=seed)(blobs) for seed in (3, 3, 4)]
    assert torch.equal(runs[0][0], runs[1][0]) and not torch.equal(runs[0][0], runs[2][0])


@pytest.mark.parametrize("kind", KINDS)
def test_fitted_to_a_draw_all_points_have_a_cluster(blobs: Tensor, kind: str) -> None:
    drawn, drawn_inertia = KMeans(3, kind, points_per_cluster=2)(blobs)
    whole, inertia = KMeans(3, kind, points_per_cluster=0)(blobs)
    assert len(drawn) == len(whole) == 300 and inertia < drawn_inertia


def test_more_restarts_are_no_worse(blobs: Tensor) -> None:
    inertias = [KMeans(12, restarts=count)(blobs)[1] for count in (1, 5)]
    assert inertias[1] <= inertias[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(clusters=0), "clusters=0 must be at least 1"),
        (dict(clusters=2, restarts=0), "restarts=0 must be at least 1"),
        (dict(clusters=2, kind="kmeans"), "clustering='kmeans' is not one of faiss, spread"),
        (dict(clusters=2, points_per_cluster=-1), "points_per_cluster=-1 must be at least 1, or 0"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KMeans(**options)


def test_more_clusters_than_cells_are_refused(blobs: Tensor) -> None:
    with pytest.raises(ValueError, match="clusters=301: there are 300 cells only"):
        KMeans(301)(blobs)
