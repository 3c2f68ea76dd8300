"""VICRegL: VICReg's criterion on images and on cells matched by place or by embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from mmengine.registry import MODELS
from torch import Tensor

from heads.precision import full_precision, no_autocast
from heads.projector import pixel_mlp, vector_mlp
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.geometry import pixel_distances
from pretrain.names import check_choice
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.reduce import gather
from pretrain.ranges import check_not_negative, check_share
from pretrain.structures import Batch

EPSILON = 1e-4  # under the root of the spread, whose slope at 0 would be infinite
STATISTICS = ("rank", "cells")


class Criterion(NamedTuple):
    """The three terms of VICReg, scalars, unweighted; the last two are means over both branches."""

    invariance: Tensor
    variance: Tensor
    covariance: Tensor


def vicreg(x: Tensor, y: Tensor, *, statistics: str = "rank") -> Criterion:
    """VICReg's terms of pairs (x, y), with spread and covariance over the batch of all processes.

    invariance: mean of (x − y)², over channels too. variance: mean over branches of mean_d max(0, 1
    − √(var_d + 1e-4)). covariance: mean over branches of (1/D) Σ_{d≠e} C_de². Variances and C are
    unbiased (divided by n − 1). The paper on VICReg writes sums over branches; the code of
    VICRegL's authors takes these means, and its weights belong to them.

    Args:
        x, y: (B, S, P, D): B images, S independent sets of P pairs; terms are means over the sets.
            Whole images: S = P = 1.
        statistics: over what spread and covariance are taken, within a set: "rank": over the images
            for the p-th pairs, then mean over p; "cells": over all pairs of all images at once.

    Returns:
        Scalars whose mean over processes, and that mean's gradient, are those of one process with
        the whole batch. Cost O(S·n·D·min(n, D)) per branch, n = entries behind a statistic (the
        step's images, times P for "cells"), times P for "rank"; memory O(S·P·min(n, D)²) beside the
        inputs. Every process computes all of it.

    Raises:
        ValueError: one entry only, whose spread is not defined.
    """
    with no_autocast(x):
        x, y = full_precision(x), full_precision(y)
        both = gather(torch.stack([x, y], 1)).movedim(0, 3)  # (2, S, P, B, D) over all processes
        both = both.flatten(2, 3) if statistics == "cells" else both
        entries, channels = both.shape[-2:]
        if entries < 2:
            raise ValueError(
                "a batch of 1 has no spread over its images; VICReg needs at least 2 per step"
            )
        centred = both - both.mean(-2, keepdim=True)
        var = centred.square().sum(-2) / (entries - 1)
        spread = (1 - (var + EPSILON).sqrt()).clamp_min(0).mean(-1)
        # ‖XᵀX‖ = ‖XXᵀ‖ (Frobenius): the smaller of the two matrices gives the sum of all squared
        # covariances.
        product = centred @ centred.mT if entries < channels else centred.mT @ centred
        squares = (product / (entries - 1)).square().sum((-2, -1))
        redundancy = (squares - var.square().sum(-1)) / channels
        return Criterion((x - y).square().mean(), spread.mean(), redundancy.mean())


def best_matches(distances: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Returns the ``count`` cells whose nearest other cell is nearest, best first, and those other
    cells.

    Args:
        distances: (B, N, N'). count: at most N are returned.

    Returns:
        Two (B, P) int64, P = min(count, N). One other cell may serve several cells. Ties go to the
        first.
    """
    nearest, other = distances.min(2)
    own = nearest.argsort(dim=1, stable=True)[:, :count]
    return own, other.gather(1, own)


@torch.no_grad()
def location_matches(
    first: Tensor, second: Tensor, size: tuple[int, int], count: int
) -> list[tuple[Tensor, Tensor]]:
    """Returns the matches of cells whose centres lie nearest in the source, from each view to the
    other.

    Args:
        first, second: (B, 2, 3) geometry. size: (H, W) of both maps. count: matches per image and
            direction.

    Returns:
        [(cells of view 1, cells of view 2)] twice, each (B, P) int64: the best for cells of view 1,
        of view 2.
    """
    return _both_ways(pixel_distances(first, second, size_q=size, size_k=size), count)


@torch.no_grad()
def feature_matches(x: Tensor, y: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    """Returns the matches of cells with the nearest embeddings (Euclidean), see
    :func:`location_matches`.

    Args:
        x, y: (B, N, D) embedded cells of views 1 and 2.
    """
    with no_autocast(x):
        return _both_ways(torch.cdist(full_precision(x), full_precision(y)), count)


def _both_ways(distances: Tensor, count: int) -> list[tuple[Tensor, Tensor]]:
    forth, back = best_matches(distances, count), best_matches(distances.mT, count)
    return [forth, back[::-1]]


def _take(cells: Tensor, index: Tensor) -> Tensor:
    """Returns cells (B, N, D) at index (B, P): (B, P, D)."""
    return cells.gather(1, index[..., None].expand(-1, -1, cells.shape[2]))


def _counts(
    location: Sequence[int], feature: int | None, both: int | None
) -> tuple[tuple[int, ...], int | None]:
    """Returns the numbers of matches by location and that by feature (None = all cells); ``both``
    stands for either.

    Raises:
        ValueError: see :class:`VICRegL`.
    """
    if both is not None:
        if not isinstance(both, int) or both < 1:
            raise ValueError(
                f"matches={both}: must be at least 1, or None to use location_matches and "
                "feature_matches"
            )
        return (both,), both
    counts = location if isinstance(location, (tuple, list)) else ()
    if not counts or any(not isinstance(count, int) or count < 1 for count in counts):
        raise ValueError(
            f"location_matches={location}: must be numbers of at least 1, as (20, 4) or (20,)"
        )
    if feature is not None and (not isinstance(feature, int) or feature < 1):
        raise ValueError(f"feature_matches={feature}: must be at least 1, or None for all cells")
    return tuple(counts), feature


@MODELS.register_module()
class VICRegL(Objective):
    """VICReg on whole images and local features (Bardes et al., NeurIPS 2022, arXiv 2210.01571).

    loss = α·ℓ(vectors) + (1 − α)·[ ℓ(cells matched by location) + ℓ(cells matched by feature) ], ℓ
    the weighted sum of :func:`vicreg`'s terms, the local ones averaged over both directions of
    matching, and over the numbers in ``location_matches``.

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        hidden: width inside the expander of pooled vectors. dim: its output's width.
        local_hidden, local_dim: the same for the expander of cells.
        alpha: α, weight of the whole-image criterion.
        location_matches: numbers of matches by location kept per image and direction, the best
            ones. The authors' code keeps 20 of the first view and 4 of the second and averages over
            both orders of the views: (20, 4).
        feature_matches: the same for matches by feature, one number; None = all cells, as in the
            authors' code.
        matches: one number for both rules in place of those two. A map of fewer cells gives all of
            them.
        invariance, variance, covariance: weights of the three terms.
        statistics: over what the local criterion's spread is taken, "rank" or "cells", see
            :func:`vicreg`.

    Raises:
        ValueError: ``alpha`` outside [0, 1], a number of matches below 1 or none, a negative
            weight, unknown ``statistics``.
    """

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        hidden: int = 8192,
        dim: int = 8192,
        local_hidden: int = 512,
        local_dim: int = 512,
        alpha: float = 0.75,
        location_matches: Sequence[int] = (20, 4),
        feature_matches: int | None = None,
        matches: int | None = None,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        statistics: str = "rank",
    ) -> None:
        super().__init__(features)
        check_share(alpha=alpha)
        check_not_negative(invariance=invariance, variance=variance, covariance=covariance)
        check_choice("statistics", statistics, STATISTICS)
        self.alpha, self.statistics = alpha, statistics
        self.location_matches, self.feature_matches = _counts(
            location_matches, feature_matches, matches
        )
        self.weights = Criterion(invariance, variance, covariance)
        self.stride = features.pick(stride)
        self.expander = vector_mlp(features.vector, hidden, dim, layers=3)
        channels = features.channels[self.stride]
        self.local_expander = pixel_mlp(channels, local_hidden, local_dim, layers=3)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: no spread in all three criteria, whose variance terms are 1 − √1e-4."""
        criteria = self.alpha + 2 * (1 - self.alpha)
        return Bounds(best=0.0, collapsed=criteria * self.weights.variance * (1 - EPSILON**0.5))

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, the criteria ``image`` and ``cell`` (sum of both rules), and the
        variance term of each.
        """
        views = encode.online("global")[:2]
        first, second = batch.views["global"].geometry[:, :2].unbind(1)
        x, y = (self.expander(view.vector)[:, None, None] for view in views)  # (B, 1, 1, D)
        image = vicreg(x, y)
        maps = [self.local_expander(view.map(self.stride)) for view in views]
        size = maps[0].shape[2:]
        cells = [m.flatten(2).transpose(1, 2) for m in maps]  # (B, N, D)
        everything = cells[0].shape[1]
        places = location_matches(first, second, size, max(self.location_matches))
        terms = [
            self._local(cells, places, self.location_matches),
            self._local(
                cells, feature_matches(*cells, self.feature_matches or everything), (everything,)
            ),
        ]
        cell = Criterion(*map(sum, zip(*terms, strict=True)))
        image_value, cell_value = self._weighted(image), self._weighted(cell)
        return {
            "loss": self.alpha * image_value + (1 - self.alpha) * cell_value,
            "image": image_value,
            "cell": cell_value,
            "image_variance": image.variance,
            "cell_variance": cell.variance / len(terms),
        }

    def _local(
        self, cells: list[Tensor], pairs: list[tuple[Tensor, Tensor]], counts: Sequence[int]
    ) -> Criterion:
        """Returns the criterion of matched cells (B, N, D) of both views, a mean over directions
        and over counts.
        """
        x = torch.stack([_take(cells[0], own) for own, _ in pairs], 1)  # (B, 2, P, D)
        y = torch.stack([_take(cells[1], other) for _, other in pairs], 1)
        each = []
        for count in counts:
            each.append(vicreg(x[:, :, :count], y[:, :, :count], statistics=self.statistics))
        return Criterion(*(sum(values) / len(counts) for values in zip(*each, strict=True)))

    def _weighted(self, terms: Criterion) -> Tensor:
        return sum(weight * term for weight, term in zip(self.weights, terms, strict=True))
