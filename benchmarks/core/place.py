"""What features give away about the place in the image that they come from, and its removal.

N images, P positions, x (N, P, D) features of cells. Pure functions in float64:

- how well ridge regression reads row and column out of a cell (:class:`Moments`, :func:`ridge`);
- which share of the variance lies between positions (:func:`share_of_place`);
- removal of the plane in which a linear predictor reads them, as in RASA, and of the directions in
  which the cells of a black image differ, as in INSID3 (:class:`BlackBasis`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Directions shorter than this share of the longest one are rounding errors, not directions.
_NEGLIGIBLE = 1e-10


def coordinates(grid: tuple[int, int]) -> Tensor:
    """Where cells lie: (h·w, 2) float64, row and column from 0 to 1, row by row.

    Raises:
        ValueError: a grid of one row or column, in which that coordinate has no values.
    """
    if min(grid) < 2:
        raise ValueError(
            f"a grid of {grid[0]} x {grid[1]} cells has no places to tell apart; it must have at "
            "least 2 rows and 2 columns: use larger images or a finer stride"
        )
    rows, columns = (torch.linspace(0, 1, side, dtype=torch.float64) for side in grid)
    return torch.cartesian_prod(rows, columns)


class Moments:
    """Sums over cells from which linear regressions follow: features are seen once and not kept.

    Args:
        channels: D of the features.
        targets: T of what is to be predicted.
        device: where the sums lie.
    """

    def __init__(self, channels: int, targets: int, *, device: torch.device | str = "cpu") -> None:
        self.count = 0
        options = dict(dtype=torch.float64, device=device)
        self.features = torch.zeros(channels, **options)
        self.targets = torch.zeros(targets, **options)
        self.squares = torch.zeros(channels, channels, **options)
        self.products = torch.zeros(channels, targets, **options)

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Adds cells: features (n, D), targets (n, T), both float64."""
        self.count += len(features)
        self.features += features.sum(0)
        self.targets += targets.sum(0)
        self.squares += features.T @ features
        self.products += features.T @ targets

    @property
    def covariance(self) -> Tensor:
        """(D, D) of the features, divided by their number."""
        mean = self.features / self.count
        return self.squares / self.count - torch.outer(mean, mean)

    @property
    def shared(self) -> Tensor:
        """(D, T) covariance of features and targets."""
        return self.products / self.count - torch.outer(
            self.features / self.count, self.targets / self.count
        )


@dataclass(frozen=True)
class Linear:
    """A linear predictor.

    Attributes:
        weight: (D, T).
        bias: (T,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(n, T) of features (n, D)."""
        return features @ self.weight + self.bias


def ridge(
    moments: Moments,
    penalty: float,
    *,
    without: Tensor | None = None,
    standardise: bool = True,
) -> Linear:
    """Ridge regression with an intercept that is free:

        min  mean_n ‖y_n − W'x_n − b‖² + penalty · ‖W‖²

    over channels of unit variance, so that the penalty does not depend on the features' scale nor
    on the number of cells. A channel that never changes has no weight.

    Args:
        moments: of the cells to fit.
        penalty: λ; 0 gives the shortest least-squares solution.
        without: (D, k) orthonormal directions that are taken out of the features first; the
            predictor still reads the features as they were.
        standardise: give every channel variance 1 first.
    """
    covariance, shared = moments.covariance, moments.shared
    if without is not None and without.shape[1]:
        keep = torch.eye(len(covariance)).to(covariance) - without @ without.T
        covariance, shared = keep @ covariance @ keep, keep @ shared
    variance = covariance.diagonal().clamp_min(0)
    living = variance > _NEGLIGIBLE * moments.covariance.diagonal().max()
    scale = torch.where(living, variance.sqrt(), torch.inf)
    if not standardise:
        scale = torch.where(living, torch.ones_like(scale), torch.inf)
    normal = covariance / torch.outer(scale, scale) + penalty * torch.eye(len(scale)).to(scale)
    inverse = torch.linalg.pinv(normal, rtol=1e-12, hermitian=True)
    weight = (inverse @ (shared / scale[:, None])) / scale[:, None]
    if without is not None:
        weight = weight - without @ (without.T @ weight)
    bias = (moments.targets - weight.T @ moments.features) / moments.count
    return Linear(weight, bias)


def share_of_place(means: Tensor, squares: float, images: int) -> tuple[float, float, float]:
    """Which share of the features' variance lies between positions.

        s = N · Σ_p ‖x̄_p − x̄‖² / Σ ‖x − x̄‖²,  by chance e = (P − 1) / (N·P − 1)

    Args:
        means: (P, D) x̄_p over the images.
        squares: Σ ‖x‖² over all cells.
        images: N, at least 2.

    Returns:
        s; e; and 1 − (1 − s)(N·P − 1) / (N·P − P), which is 0 by chance and 1 where place explains
        all. NaN where features never change.
    """
    places = len(means)
    mean = means.mean(0)
    between = images * float((means - mean).square().sum())
    total = squares - images * places * float(mean.square().sum())
    if not total > _NEGLIGIBLE * squares:
        return float("nan"), (places - 1) / (images * places - 1), float("nan")
    share, cells = between / total, images * places
    corrected = 1 - (1 - share) * (cells - 1) / (cells - places)
    return share, (places - 1) / (cells - 1), corrected


def plane_of(weight: Tensor) -> Tensor:
    """Orthonormal directions (D, k ≤ T) in which a linear predictor reads: its first weights as
    they are, the next ones made orthogonal to those before. Directions that add nothing are left
    out.

    Args:
        weight: (D, T).
    """
    directions: list[Tensor] = []
    longest = weight.norm(dim=0).max()
    for column in weight.T:
        for other in directions:
            column = column - (column @ other) * other
        if column.norm() > _NEGLIGIBLE * longest:
            directions.append(column / column.norm())
    return torch.stack(directions, 1) if directions else weight[:, :0]


def remove(features: Tensor, directions: Tensor) -> Tensor:
    """Features (…, D) without their part in orthonormal directions (D, k)."""
    return features - (features @ directions) @ directions.T


@dataclass(frozen=True)
class BlackBasis:
    """The directions in which cells of a black image differ: there is nothing in them but place.

    It belongs to the grid of one input size.

    Attributes:
        directions: (D, K) orthonormal, the strongest first.
        grid: (h, w) of the map that it was made from.
    """

    directions: Tensor
    grid: tuple[int, int]

    @classmethod
    def of(cls, maps: Tensor, count: int) -> BlackBasis:
        """Takes the first left singular vectors of unit features, centred over positions.

        Args:
            maps: (1, D, h, w) of an image that is zero before normalisation.
            count: K; fewer where fewer directions differ.
        """
        unit = F.normalize(maps[0].double().flatten(1), dim=0)  # (D, P)
        centred = unit - unit.mean(1, keepdim=True)
        left, singular, _ = torch.linalg.svd(centred, full_matrices=False)
        # float32 features of equal cells differ in their last digits.
        living = int((singular > 1e-5 * len(unit.T) ** 0.5).sum())
        return cls(left[:, : min(count, living)], (maps.shape[2], maps.shape[3]))

    def clean(self, maps: Tensor) -> Tensor:
        """Maps (B, D, h, w) of unit cells without these directions; a cell that was nothing else
        is zero.

        Raises:
            ValueError: another grid than its own.
        """
        grid = tuple(maps.shape[2:])
        if grid != self.grid:
            raise ValueError(
                f"maps of {grid[0]} x {grid[1]} cells: the black image's directions are those of "
                f"{self.grid[0]} x {self.grid[1]} cells; make them anew for this input size"
            )
        cells = F.normalize(maps, dim=1).movedim(1, -1)
        return F.normalize(remove(cells, self.directions.to(maps)), dim=-1).movedim(-1, 1)
