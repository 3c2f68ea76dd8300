"""DenseCL: MoCo's contrast of whole images and of single cells, matched by their features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.projector import start_linear_layers
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.queue import KeyQueue, info_nce
from pretrain.ranges import check_positive, check_share
from pretrain.structures import Batch


@torch.no_grad()
def nearest_cells(q: Tensor, k: Tensor) -> Tensor:
    """Returns, for every cell of q, the cell of k with the largest cosine, (B, N) int64 in [0, N').

    Args:
        q: (B, D, H, W) backbone map of one view. k: (B, D, H', W') of the other. Ties go to the
            first cell.
    """
    with no_autocast(q):
        q = F.normalize(full_precision(q).flatten(2), dim=1)
        k = F.normalize(full_precision(k).flatten(2), dim=1)
        return (q.transpose(1, 2) @ k).argmax(2)


def dense_info_nce(
    q: Tensor, k: Tensor, match: Tensor, queue: KeyQueue, temperature: float
) -> Tensor:
    """Mean InfoNCE of the cells of q against their matched cells of k; negatives are the queue's
    pooled keys.

    Args:
        q: (B, D, H, W) projected cells, online. k: (B, D, H', W') projected cells, target.
        match: (B, N), cell of k that belongs to each cell of q. queue, temperature: see
            :func:`info_nce`.

    Returns:
        Scalar. Cost O(B·N·K·D) time, O(B·N·K) memory for K entries.
    """
    k = k.flatten(2)
    positive = k.gather(2, match[:, None].expand(-1, k.shape[1], -1))  # (B, D, N)
    rows = [x.transpose(1, 2).flatten(0, 1) for x in (q.flatten(2), positive)]
    return info_nce(*rows, queue, temperature).mean()


@MODELS.register_module()
class DenseCL(Objective):
    """Dense contrastive learning (Wang et al., CVPR 2021, arXiv 2011.09157) on top of MoCo v2.

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        hidden: width inside both heads. dim: width of both projections.
        entries: K, keys in each of the two queues.
        temperature: τ of both losses.
        dense_weight: λ; the whole-image loss gets 1 − λ.
        symmetric: each view asks and answers (ours: both are encoded anyway); False: view 1 asks,
            view 2 answers, as MoCo does.
        head_start: how the linear layers of the whole-image head start, see
            :func:`heads.projector.start_linear_layers`; the authors' "kaiming".

    Raises:
        ValueError: temperature not positive, ``dense_weight`` outside [0, 1], ``entries`` below 1,
            unknown ``head_start``.
    """

    needs = Needs(target=("global",))

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        hidden: int = 2048,
        dim: int = 128,
        entries: int = 65_536,
        temperature: float = 0.2,
        dense_weight: float = 0.5,
        symmetric: bool = True,
        head_start: str = "torch",
    ) -> None:
        super().__init__(features)
        check_positive(temperature=temperature)
        check_share(dense_weight=dense_weight)
        self.temperature, self.dense_weight = temperature, dense_weight
        # (view that asks, view that answers)
        self.directions = ((0, 1), (1, 0)) if symmetric else ((0, 1),)
        self.stride = features.pick(stride)
        # Without BatchNorm, unlike those of heads.projector: so are the authors'.
        self.projector = nn.Sequential(
            nn.Linear(features.vector, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim)
        )
        self.cell_projector = nn.Sequential(
            nn.Conv2d(features.channels[self.stride], hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, dim, 1),
        )
        start_linear_layers(self.projector, head_start)
        self.target_projector = target_copy(self.projector)
        self.target_cell_projector = target_copy(self.cell_projector)
        self.queue, self.cell_queue = KeyQueue(entries, dim), KeyQueue(entries, dim)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: ln(1 + K) for the K keys held; a fresh network starts near it."""
        collapsed = float(terms["held"].double().log1p())
        return Bounds(best=0.0, collapsed=collapsed, random_start=collapsed)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Both heads follow."""
        return [
            (self.projector, self.target_projector),
            (self.cell_projector, self.target_cell_projector),
        ]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, its parts ``image`` and ``cell``; ``held``: keys in each queue."""
        online, target = encode.online("global")[:2], encode.target("global")[:2]
        image, cell = [], []
        for asks, answers in self.directions:
            own, other = online[asks], target[answers]
            vector, cells = self._keys(other)
            image.append(
                info_nce(self.projector(own.vector), vector, self.queue, self.temperature).mean()
            )
            own_map, other_map = own.map(self.stride), other.map(self.stride)
            match = nearest_cells(own_map, other_map)
            query = self.cell_projector(own_map)
            cell.append(dense_info_nce(query, cells, match, self.cell_queue, self.temperature))
        parts = {"image": torch.stack(image).mean(), "cell": torch.stack(cell).mean()}
        loss = (1 - self.dense_weight) * parts["image"] + self.dense_weight * parts["cell"]
        return {"loss": loss, **parts, "held": self.queue.held.float()}

    @torch.no_grad()
    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Enqueues the unit keys of every view that answered: vectors, and cells pooled."""
        target = encode.target("global")
        keys = [self._keys(target[answers]) for _, answers in self.directions]
        # (B, views, D): image by image, so that the order does not depend on the number of
        # processes
        self.queue.push(torch.stack([_unit(vector) for vector, _ in keys], 1))
        self.cell_queue.push(torch.stack([_unit(cells.mean((2, 3))) for _, cells in keys], 1))

    @torch.no_grad()
    def _keys(self, view: Features) -> tuple[Tensor, Tensor]:
        """Returns the target's raw projections of a view, (B, dim) and (B, dim, H, W)."""
        cells = self.target_cell_projector(view.map(self.stride))
        return self.target_projector(view.vector), cells


def _unit(x: Tensor) -> Tensor:
    return F.normalize(full_precision(x), dim=1)
