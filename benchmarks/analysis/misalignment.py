"""How well the weights of a layer are aligned with its inputs: covariances, misalignment, transfer
function.

x ∈ R^d is an input of a layer (a vector, or a k×k×C patch of its input map, flattened as its
filters are: channel, row, column) with covariance Σ_x, and w ∈ R^d a unit (a filter) with
covariance Σ_w over the units of the layer. σ_i² are the eigenvalues of Σ_x, V_j orthonormal bases
of its eigenspaces, of dimension m_j. Σ_w is aligned with Σ_x where every eigenspace of Σ_x lies in
one of Σ_w.

    f(σ_i) = sqrt(v_iᵀ Σ_w v_i)
    M      = Σ_j [sqrt(tr(V_jᵀ Σ_w V_j) · tr(V_jᵀ Σ_w⁻¹ V_j)) − m_j]

M is the smallest tr(½ Σ⁻¹ Σ_w + ½ Σ_w⁻¹ Σ − I) over all Σ that are aligned with Σ_x. It is never
negative, 0 exactly for aligned weights, and does not change with a factor of Σ_w or with a common
rotation. Of Σ_x it reads the eigenspaces alone, so that any orthonormal basis has a misalignment: a
random one is the control. After Maennel et al. 2020 (arXiv 2006.10455).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

_PATCH_BYTES = 128 << 20  # of float64 patches at once


def patches(
    maps: Tensor,
    kernel: tuple[int, int],
    *,
    dilation: tuple[int, int] = (1, 1),
    stride: tuple[int, int] = (1, 1),
) -> Iterator[Tensor]:
    """Yields the patches of maps (B, C, H, W), no padding, in pieces: (n, C·h·w) float64.

    A patch is flattened as ``filters.flatten(1)`` flattens filters (D, C, h, w): channel, row,
    column.

    Args:
        maps: inputs of a convolution.
        kernel: (h, w) of its filters.
        dilation: of its filters.
        stride: cells from one patch to the next; 1 takes the patches at all positions.

    Raises:
        ValueError: maps smaller than a filter.
    """
    spans = []
    for side, gap in zip(kernel, dilation, strict=True):
        spans.append(gap * (side - 1) + 1)
    positions = [maps.shape[-2] - spans[0] + 1, maps.shape[-1] - spans[1] + 1]
    if min(positions) < 1:
        raise ValueError(
            f"maps of {maps.shape[-2]} × {maps.shape[-1]} cells: a filter spans {spans[0]} × "
            f"{spans[1]}, so there is no patch without padding; choose larger images or a layer "
            "before this one"
        )
    size = 8 * maps.shape[1] * math.prod(kernel) * math.prod(positions)  # bytes of an image
    for part in maps.split(max(1, _PATCH_BYTES // size)):
        columns = F.unfold(
            part.double(), kernel, dilation=dilation, stride=stride
        )  # (B, d, positions)
        yield columns.transpose(1, 2).flatten(0, 1)


class Covariance:
    """Mean and covariance of vectors that arrive in pieces, float64; unchanged by their order.

    Args:
        dimension: d of the vectors.
    """

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self.mean = torch.zeros(dimension, dtype=torch.float64)
        self._scatter = torch.zeros(dimension, dimension, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """Counts vectors (n, d), centred piece by piece, so that a large mean costs no digits;
        multiplied where they lie.
        """
        rows = rows.double()
        own = rows.mean(0)
        centred = rows - own
        scatter, mean = (centred.T @ centred).cpu(), own.cpu()
        total, shift = self.count + len(rows), mean - self.mean
        self._scatter += scatter
        self._scatter += torch.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean += shift * (len(rows) / total)
        self.count = total

    @property
    def matrix(self) -> Tensor:
        """(d, d): the scatter over n − 1.

        Raises:
            ValueError: fewer than two vectors.
        """
        if self.count < 2:
            raise ValueError(f"{self.count} vectors have no covariance; at least two are needed")
        return self._scatter / (self.count - 1)


def covariance(rows: Tensor) -> Tensor:
    """(d, d) float64 covariance of vectors (n, d) around their mean, over n − 1."""
    gathered = Covariance(rows.shape[1])
    gathered.add(rows)
    return gathered.matrix


@dataclass(frozen=True)
class Eigenspaces:
    """The eigenspaces of a covariance, or any orthonormal basis in their place.

    Attributes:
        values: (m,) float64, the largest first.
        vectors: (d, m), orthonormal columns in the same order; m < d after :meth:`leading`.
        sizes: dimension of each eigenspace, from the first column on; their sum is m.
    """

    values: Tensor
    vectors: Tensor
    sizes: tuple[int, ...]

    @property
    def deviations(self) -> Tensor:
        """(m,) σ_i, the square roots of the values; rounding errors below zero count as 0."""
        return self.values.clamp_min(0).sqrt()

    def leading(self, count: int) -> Eigenspaces:
        """The first eigenspaces that have at most ``count`` dimensions together; 0: all of them.

        Raises:
            ValueError: the first one alone has more.
        """
        if not 0 < count < len(self.values):
            return self
        sizes: list[int] = []
        for size in self.sizes:
            if sum(sizes) + size > count:
                break
            sizes.append(size)
        kept = sum(sizes)
        if not kept:
            raise ValueError(
                f"leading={count}: the first eigenspace of the inputs has {self.sizes[0]} "
                "dimensions, of which no part is a basis of its own; keep at least as many"
            )
        return Eigenspaces(self.values[:kept], self.vectors[:, :kept], tuple(sizes))

    def turned(self, generator: torch.Generator) -> Eigenspaces:
        """A random orthonormal basis of the same span, cut into spaces of the same sizes."""
        return replace(self, vectors=self.vectors @ random_basis(len(self.values), generator))


def eigenspaces(matrix: Tensor, *, tolerance: float = 1e-9) -> Eigenspaces:
    """Eigenspaces of a symmetric matrix, by the symmetric solver, whose basis is orthonormal.

    Args:
        matrix: (d, d).
        tolerance: neighbouring eigenvalues that differ by no more than this share of the largest
            one are the same: what rounding leaves of a repeated eigenvalue.
    """
    values, vectors = torch.linalg.eigh(matrix.double())
    values, vectors = values.flip(0), vectors.flip(1)
    apart = (values[:-1] - values[1:]) > tolerance * values.abs().max()
    starts = [0, *(apart.nonzero().flatten() + 1).tolist(), len(values)]
    sizes = torch.tensor(starts).diff().tolist()
    return Eigenspaces(values, vectors, tuple(sizes))


def random_basis(dimension: int, generator: torch.Generator) -> Tensor:
    """(d, d) orthonormal float64, uniform over all rotations and reflections (QR of a Gaussian
    matrix, signs by the diagonal of R).
    """
    gaussian = torch.randn(dimension, dimension, dtype=torch.float64, generator=generator)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal().sign()


def misalignment(spaces: Eigenspaces, weights: Tensor) -> float:
    """M of the module's docstring. Within fewer directions than d it is that of the weights'
    projections on them.

    Args:
        spaces: of the inputs, or another basis of their span.
        weights: (d, d) covariance Σ_w of the units.

    Raises:
        ValueError: Σ_w is singular on these directions.
    """
    inside = spaces.vectors.T @ weights.double() @ spaces.vectors  # (m, m)
    spectrum = torch.linalg.eigvalsh(inside)
    if not spectrum[0] > len(spectrum) * torch.finfo(torch.float64).eps * spectrum[-1]:
        raise ValueError(
            f"the covariance of the weights is singular on {len(spectrum)} directions of the "
            "inputs: it needs more units than directions; pool the units of several runs, or keep "
            "fewer directions"
        )
    inverse = torch.linalg.inv(inside)
    products = _sums(inside.diagonal(), spaces.sizes) * _sums(inverse.diagonal(), spaces.sizes)
    return float(products.sqrt().sum() - len(spectrum))


def transfer(spaces: Eigenspaces, weights: Tensor) -> Tensor:
    """(m,) f(σ_i), in the order of the spaces; (d, d) ``weights`` as in :func:`misalignment`."""
    inside = spaces.vectors.T @ weights.double() @ spaces.vectors
    return inside.diagonal().clamp_min(0).sqrt()


def random_misalignments(
    spaces: Eigenspaces, weights: Tensor, *, bases: int, seed: int
) -> list[float]:
    """M in random bases of the same span: the control, a value for each basis."""
    generator = torch.Generator().manual_seed(seed)
    return [misalignment(spaces.turned(generator), weights) for _ in range(bases)]


def sampling_floor(dimension: int, units: int) -> float:
    """About what n aligned units in d dimensions have by chance: d · (sqrt(ν / (ν − d − 1)) − 1),
    ν = n − 1, since their sample covariance is not the true one.

    The mean of v_iᵀ Σ_w⁻¹ v_i of a Wishart matrix is ν / (ν − d − 1) times the true value; that a
    root of a product is taken of it is left out, so the formula lies some percent above the
    simulation.

    Raises:
        ValueError: ν ≤ d + 1, where that mean does not exist.
    """
    freedom = units - 1
    if freedom <= dimension + 1:
        raise ValueError(
            f"units={units}, dimension={dimension}: the sampling floor is finite from "
            f"{dimension + 3} units on"
        )
    return dimension * (math.sqrt(freedom / (freedom - dimension - 1)) - 1)


def simulated_floor(sizes: Sequence[int], units: int, *, draws: int, seed: int) -> list[float]:
    """M of n units that are truly aligned, a value for each draw.

    M does not change if weights are stretched along the directions of its own basis, each
    eigenspace as a whole, so unit Gaussians stand for all Gaussian weights that are aligned.

    Args:
        sizes: dimensions of the eigenspaces.
        units: n, more than all dimensions together.
        draws: how often.
        seed: of the draws.
    """
    dimension = sum(sizes)
    identity = torch.eye(dimension, dtype=torch.float64)
    axes = Eigenspaces(torch.ones(dimension, dtype=torch.float64), identity, tuple(sizes))
    generator = torch.Generator().manual_seed(seed)
    floors = []
    for _ in range(draws):
        rows = torch.randn(units, dimension, dtype=torch.float64, generator=generator)
        floors.append(misalignment(axes, covariance(rows)))
    return floors


def _sums(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """(number of groups,) sums of neighbouring values, ``sizes`` of them each."""
    return torch.stack([part.sum() for part in values.split(list(sizes))])
