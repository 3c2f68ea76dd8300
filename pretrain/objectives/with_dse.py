"""DSE as a regulariser: any objective, minus a little of the dense structure of its own cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.clustering import k_means
from pretrain.encodings import Encodings
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.ranges import check_not_negative
from pretrain.structures import Batch

# Unit cells in float32 differ by about this much although they mean the same.
SAME_CELL = 1e-5


class Parts(NamedTuple):
    """What the regulariser is made of, each a scalar.

    Attributes:
        inter: mean distance of cells to the nearest cluster that is not theirs.
        intra: spread inside clusters, half of those of the group, half of those of single images.
        scale: mean distance of cells from their common mean, by which both are divided.
        dimension: effective number of dimensions, as a share of the most there can be.
    """

    inter: Tensor
    intra: Tensor
    scale: Tensor
    dimension: Tensor

    @property
    def dse(self) -> Tensor:
        """(inter − intra) / scale + dimension; the first term is 0, with no gradient, where all
        cells are equal: their clusters, and a gradient that grows as 1 / scale, would be rounding.
        """
        classes = (self.inter - self.intra) / self.scale.clamp_min(SAME_CELL)
        return classes.where(self.scale > SAME_CELL, 0) + self.dimension


def dse_parts(cells: Tensor, starts: Tensor, image_starts: Tensor) -> Parts:
    """The regulariser's form of DSE, of the cells of one group of images.

    It is not the measure of :mod:`pretrain.hooks.dense_structure`, and their values do not compare:
    distances are not squared, Σσ(Z_j) is divided by √max(N_j − 1, D), clusters of the group and of
    single images count half each in M_intra, both class terms are divided by the mean length of
    centred cells, M_dim by min(n, D), and there is no λ.

    Gradients go through distances, singular values and lengths, not through labels and centroids.
    Singular values that are zero have none: their directions would be rounding errors.

    Args:
        cells: (B, N, D) of any length, B images.
        starts: (k,) in [0, 1), for the starts of k-means over the group.
        image_starts: (k',) likewise, over each image.

    Returns:
        The parts. Cost: k-means, and a singular value decomposition of each cluster and of all
        cells.
    """
    with no_autocast(cells):
        unit = F.normalize(full_precision(cells), dim=2)
        everyone = unit.flatten(0, 1)  # (n, D)
        inter, group_intra = _of_clusters(everyone, starts)
        image_intra = torch.stack([_of_clusters(image, image_starts)[1] for image in unit]).mean()
        scale = (everyone - everyone.mean(0)).norm(dim=1).mean()
        most = min(everyone.shape)
        dimension = _entropy_rank(everyone) / most
        return Parts(inter, (group_intra + image_intra) / 2, scale, dimension)


def _of_clusters(cells: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over k-means clusters of unit cells (n, D) of their distance to the nearest other
    centroid, and of their spread; one cluster alone has neither.
    """
    with torch.no_grad():
        labels = k_means(cells, starts)
        sizes = torch.bincount(labels)
        centroids = torch.zeros_like(cells[: len(sizes)]).index_add_(0, labels, cells)
        centroids = centroids / sizes[:, None]
    if len(sizes) < 2:
        return cells.sum() * 0, cells.sum() * 0
    own = F.one_hot(labels, len(sizes)).bool()
    # Differences, since the quick form of the distance has no gradient where it is small.
    distances = (cells[:, None] - centroids).norm(dim=2).masked_fill(own, math.inf)  # (n, k)
    nearest = torch.zeros_like(centroids[:, 0]).index_add(0, labels, distances.amin(1)) / sizes
    spreads = []
    for label, size in enumerate(sizes.tolist()):
        singular = _singular(cells[labels == label] - centroids[label])
        spreads.append(singular.sum() / math.sqrt(max(size - 1, cells.shape[1])))
    return nearest.mean(), torch.stack(spreads).mean()


def _entropy_rank(cells: Tensor) -> Tensor:
    """exp of the entropy of the normalised singular values of cells (n, D)."""
    singular = _singular(cells)
    return torch.special.entr(singular / singular.sum()).sum().exp()


def _singular(rows: Tensor) -> Tensor:
    """(r,) singular values of rows (n, D) that are not zero."""
    singular = torch.linalg.svdvals(rows)
    return singular[singular > SAME_CELL * math.sqrt(len(rows))]


@MODELS.register_module()
class WithDSE(Objective):
    """L − β · DSE for any objective L (DSE: arXiv 2510.17299), on the maps that L's own pass made,
    hidden cells included where L hides some.

    Images are taken in groups in their order; the last group may be smaller. Every process has its
    own groups, so the term of two processes is not that of one.

    Args:
        objective: the inner objective, a dict with its ``type``.
        beta: β; 0 leaves the inner objective alone and only logs the parts.
        group: images whose cells are clustered together.
        clusters: of each image; a group has as many times its images.

    Raises:
        ValueError: ``beta`` below 0, ``group`` below 1, ``clusters`` below 2, or an objective with
            a weight of its own.
    """

    def __init__(
        self,
        features: FeatureInfo,
        *,
        objective: dict[str, Any],
        beta: float = 0.001,
        group: int = 8,
        clusters: int = 3,
    ) -> None:
        super().__init__(features)
        check_not_negative(beta=beta)
        if group < 1 or clusters < 2:
            raise ValueError(
                f"group={group}, clusters={clusters}: must be at least 1 image and 2 clusters"
            )
        if "weight" in objective:
            raise ValueError(f"objective={objective}: its weight belongs to WithDSE")
        self.beta, self.group, self.clusters = beta, group, clusters
        self.objective = MODELS.build({**objective, "features": features})
        self.needs, self.temperature = self.objective.needs, self.objective.temperature
        # The same every step: nothing is drawn in training, and a resumed run needs no state.
        starts = torch.rand(group * clusters, generator=torch.Generator().manual_seed(0))
        self.register_buffer("starts", starts, persistent=False)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Those of the inner objective, for its ``loss``."""
        return self.objective.bounds(batch, terms)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Those of the inner objective."""
        return self.objective.momentum_pairs()

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Updates the inner objective's."""
        self.objective.update_memory(batch, encode)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns the inner objective's terms and ``dse_loss``, −β · DSE; logged besides are
        ``dse``, ``dse_inter``, ``dse_intra`` and ``dse_dimension``, means over groups and views.
        """
        terms = self.objective(batch, encode)
        parts = []
        for view in self._views(encode):
            cells = view.map().flatten(2).transpose(1, 2)  # (B, N, D)
            for images in cells.split(self.group):
                starts = self.starts[: len(images) * self.clusters]
                parts.append(dse_parts(images, starts, self.starts[: self.clusters]))
        dse = torch.stack([part.dse for part in parts]).mean()
        logged = {"dse": dse.detach()}
        for name in ("inter", "intra", "dimension"):
            values = torch.stack([getattr(part, name) for part in parts])
            logged[f"dse_{name}"] = values.mean().detach()
        return {**terms, "dse_loss": -self.beta * dse, **logged}

    def _views(self, encode: Encodings) -> list[Features]:
        """What the inner objective's pass made of the first group that it encodes."""
        if self.needs.online:
            return encode.online(self.needs.online[0])
        group = self.needs.masked[0]
        return encode.online(group, mask=encode.mask(group))
