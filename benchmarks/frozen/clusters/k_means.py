"""k-means of frozen cells: ours, and that of faiss, which published numbers were had with."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pretrain.clustering import lloyd, nearest_centres, spread_starts
from pretrain.names import check_choice

KINDS = ("faiss", "spread")


@dataclass(frozen=True)
class KMeans:
    """How points are clustered.

    Attributes:
        clusters: K.
        kind: ``faiss``: its ``Kmeans``, random starts. ``spread``: k-means++ starts, Lloyd's rounds
            until no point changes its cluster. The two find other clusters.
        iterations: at most.
        restarts: of which the one of least inertia is kept.
        points_per_cluster: fitted to at most so many points times K, drawn at random; 0: to all.
            faiss' own limit is 256.
        seed: of starts and draws.

    Raises:
        ValueError: an illegal value, or no faiss.
    """

    clusters: int
    kind: str = "spread"
    iterations: int = 100
    restarts: int = 5
    points_per_cluster: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("clustering", self.kind, KINDS)
        for name in ("clusters", "iterations", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least 1")
        if self.points_per_cluster < 0:
            raise ValueError(
                f"points_per_cluster={self.points_per_cluster!r} must be at least 1, or 0 for all"
            )
        if self.kind == "faiss" and importlib.util.find_spec("faiss") is None:
            raise ValueError(
                "clustering='faiss': faiss is not installed (pip install faiss-cpu); "
                "clustering='spread' needs none, and its clusters are others"
            )

    def __call__(self, points: Tensor) -> tuple[Tensor, float]:
        """Clusters points (n, D) float32.

        Returns:
            Labels (n,) int64 in [0, K), and the inertia: the mean squared distance of a point to
            its centre.

        Raises:
            ValueError: fewer points than clusters.
        """
        if len(points) < self.clusters:
            raise ValueError(
                f"clusters={self.clusters}: there are {len(points)} cells only; ask for fewer "
                "clusters or take more images"
            )
        centres = self._faiss(points) if self.kind == "faiss" else self._spread(points)
        distances, labels = nearest_centres(points, centres)
        return labels, float(distances.double().square().mean())

    def _faiss(self, points: Tensor) -> Tensor:
        import faiss

        most = self.points_per_cluster or math.ceil(len(points) / self.clusters)
        fitted = faiss.Kmeans(
            points.shape[1],
            self.clusters,
            niter=self.iterations,
            nredo=self.restarts,
            seed=self.seed,
            max_points_per_centroid=most,
            min_points_per_centroid=1,  # else it warns below 39
        )
        fitted.train(points.cpu().contiguous().numpy())
        return torch.from_numpy(fitted.centroids).to(points)

    def _spread(self, points: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        most = self.points_per_cluster * self.clusters or len(points)
        if most < len(points):
            points = points[torch.randperm(len(points), generator=generator)[:most]]
        fitted = []
        for _ in range(self.restarts):
            uniforms = torch.rand(self.clusters, generator=generator, dtype=torch.float64)
            starts = spread_starts(points, uniforms)
            centres, labels = lloyd(points, starts, rounds=self.iterations, tolerance=0.0)
            inertia = float((points - centres[labels]).double().square().sum())
            fitted.append((inertia, centres))
        return min(fitted, key=lambda one: one[0])[1]
