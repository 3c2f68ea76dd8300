"""NeCo: the target's cells and the student's put the same reference cells in the same order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from heads.cells import CellHead
from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.overlap import overlap_cells, shares_region
from pretrain.objectives.parts.queue import KeyQueue
from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.objectives.parts.soft_sort import NETWORKS, SoftSort
from pretrain.ranges import check_positive
from pretrain.structures import Batch

SORTS = (*NETWORKS, "none")


def cosines(cells: Tensor, references: Tensor) -> Tensor:
    """Returns the cosine of every cell (B, N, D) with each of its image's references (B, R, D):
    (B, N, R).
    """
    with no_autocast(cells):
        cells, references = full_precision(cells), full_precision(references)
        return F.normalize(cells, dim=2) @ F.normalize(references, dim=2).mT


def cross_entropy(logs: Tensor, q: Tensor) -> Tensor:
    """Returns each image's mean over all but the last axis of −Σ q · logs: (B, …, R) -> (B,)."""
    return -(q * logs).sum(-1).flatten(1).mean(1)


@MODELS.register_module()
class NeCo(Objective):
    """Patch neighbour consistency (Pariza et al., ICLR 2025, arXiv 2408.11054).

    Views of the group ``local`` are read where the recipe makes them.

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        hidden: width inside the head. dim: width of its unit vectors.
        side: n, cells of the common grid in each direction; each image has n² references.
        sort: ``bitonic`` or ``odd_even``: a network of comparators that sorts the references
            softly; ``none``: no sorting but a softmax over the same cosines, the control.
        steepness: s of the comparators. temperature: τ of the softmax.
        entries: K, cells of the target in each large view's queue, from which the references are
            drawn; None = from the large view's cells of this process in the same step.
        entering: random cells of each image that enter each queue in a step.
        recompute: sort again in the backward pass, pair by pair, instead of keeping what the
            network's layers gave: about 1.3 GB for each pair of views at 64 images. The result is
            the same.

    Raises:
        ValueError: ``side`` below 2, an unknown ``sort``, a number that must be positive, or
            ``entries`` below 1.
    """

    needs = Needs(target=("global",), may_read=("local",), upright=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        hidden: int = 2048,
        dim: int = 256,
        side: int = 7,
        sort: str = "bitonic",
        steepness: float = 100.0,
        temperature: float = 0.1,
        entries: int | None = 8192,
        entering: int = 10,
        recompute: bool = True,
    ) -> None:
        super().__init__(features)
        check_choice("sort", sort, SORTS)
        check_positive(steepness=steepness, temperature=temperature, entering=entering)
        if side < 2:
            raise ValueError(f"side={side}: an order needs references; at least 2")
        self.side, self.tau, self.entering, self.recompute = side, temperature, entering, recompute
        self.stride = features.pick(stride)
        self.head = CellHead(features.channels[self.stride], dim, hidden=hidden)
        self.target_head = target_copy(self.head)
        if sort != "none":
            self.soft_sort = SoftSort(side**2, network=sort, steepness=steepness)
        if entries is not None:
            self.queues = nn.ModuleList([KeyQueue(entries, dim), KeyQueue(entries, dim)])

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best: the entropy of the target's orders. Collapsed: that of an order of equal cosines,
        about the logarithm of the number of references.
        """
        logs = self.logs(terms["entropy"].new_zeros(1, 1, self.side**2))
        collapsed = cross_entropy(logs, logs.exp())
        return Bounds(best=float(terms["entropy"]), collapsed=float(collapsed))

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The head follows."""
        return [(self.head, self.target_head)]

    def logs(self, similarities: Tensor) -> Tensor:
        """Logarithms of the references' soft order: (B, N, R) -> (B, N, R, R), of the share that
        each has of every rank, or (B, N, R) of the softmax.
        """
        with no_autocast(similarities):
            if hasattr(self, "soft_sort"):
                return self.soft_sort(similarities).log()
            return F.log_softmax(similarities / self.tau, 2)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``; ``entropy`` of the target's orders, the least that it can be;
        ``excess``, the loss above it; ``pairs``: pairs of views that share a region, for each
        image.
        """
        with torch.no_grad():
            targets = self._maps(encode.target("global")[:2], self.target_head)
        places = list(batch.views["global"].geometry[:, :2].unbind(1))
        views = list(encode.online("global")[:2])
        if "local" in batch.views:
            places += batch.views["local"].geometry.unbind(1)
            views += encode.online("local")
        students = self._maps(views, self.head)
        losses, entropies, shared = [], [], []
        for large, target in enumerate(targets):
            references = self._references(large, target)
            for view, student in enumerate(students):
                if view == large:
                    continue
                pair = places[large], places[view]
                q, floor = self._target_orders(target, references, pair)
                z = overlap_cells(student, *pair[::-1], side=self.side)
                losses.append(self._losses(z, references, q))
                entropies.append(floor)
                shared.append(shares_region(*pair))
        valid = torch.stack(shared)  # (pairs, B)
        loss = mean_over_valid(torch.stack(losses).flatten(), valid.flatten())
        entropy = mean_over_valid(torch.stack(entropies).flatten(), valid.flatten())
        pairs = valid.sum(0).float().mean()
        return {"loss": loss, "entropy": entropy, "excess": loss - entropy, "pairs": pairs}

    @torch.no_grad()
    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Enqueues random cells of the target's large views, if there are queues."""
        if not hasattr(self, "queues"):
            return
        for view, queue in zip(encode.target("global"), self.queues, strict=False):
            cells = view.map(self.stride).flatten(2)  # (B, D, H·W)
            chosen = self.draw(cells.shape[2], (len(cells), self.entering)).to(
                cells.device, non_blocking=True
            )
            chosen = chosen[:, None].expand(-1, cells.shape[1], -1)
            keys = self.target_head(cells.gather(2, chosen)[..., None])  # (B, dim, entering, 1)
            queue.push(keys[..., 0].mT)

    def draw(self, limit: int | Tensor, shape: tuple[int, int]) -> Tensor:
        """Draws whole numbers from [0, limit), each equally likely, (images, each) int64, on the
        CPU or where ``limit`` lies.
        """
        drawn = torch.rand(shape, dtype=torch.float64)
        if isinstance(limit, Tensor):
            drawn = drawn.to(limit.device, non_blocking=True)
        return (drawn * limit).long()

    def _maps(self, views: list[Features], head: CellHead) -> list[Tensor]:
        return [head(view.map(self.stride)) for view in views]

    @torch.no_grad()
    def _references(self, large: int, target: Tensor) -> Tensor:
        """Draws each image's references (B, n², dim), with repetition: from the large view's queue,
        or from its cells (B, dim, H, W) while that is empty.
        """
        shape = len(target), self.side**2
        cells = target.movedim(1, -1).flatten(0, 2)
        references = cells[self.draw(len(cells), shape).to(cells.device, non_blocking=True)]
        if not hasattr(self, "queues"):
            return references
        queue = self.queues[large]
        kept = queue.keys[self.draw(queue.held, shape)].to(references)
        return torch.where(queue.held > 0, kept, references)

    @torch.no_grad()
    def _target_orders(
        self, target: Tensor, references: Tensor, pair: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The orders that the target's cells give their references, and their entropy (B,)."""
        logs = self.logs(cosines(overlap_cells(target, *pair, side=self.side), references))
        q = logs.exp()
        return q, cross_entropy(logs, q)

    def _losses(self, cells: Tensor, references: Tensor, q: Tensor) -> Tensor:
        """Each image's loss (B,) of the student's cells (B, n², dim)."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._of_cells, cells, references, q, use_reentrant=False)
        return self._of_cells(cells, references, q)

    def _of_cells(self, cells: Tensor, references: Tensor, q: Tensor) -> Tensor:
        return cross_entropy(self.logs(cosines(cells, references)), q)
