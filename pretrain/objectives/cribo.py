"""CrIBo: regions that two views share agree, and agree with their nearest ones of other images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.prototypes import PrototypeHead
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.geometry import cell_centres
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.queue import KeyQueue
from pretrain.objectives.parts.reduce import gather, mean_over_valid
from pretrain.objectives.parts.sharpening import Sharpening, cross_entropies
from pretrain.ranges import check_not_negative, check_positive
from pretrain.structures import Batch

#: Images of the queue that are compared at a time.
CHUNK = 1024


@torch.no_grad()
def cluster_cells(
    cells: Tensor,
    places: Tensor,
    starts: Tensor,
    *,
    place_weight: float,
    rounds: int = 5,
    sharpness: float = 20.0,
) -> Tensor:
    """Divides the cells of an image, of both views together, into k clusters: a cell costs
    −cos(cell, centre) + place_weight · (distance to the cluster's nearest other member, over the
    image's largest one), scaled to [0, 1] over the batch, and goes where :func:`transport` sends
    the most of it.

    Args:
        cells: (B, M, D), any scale. places: (B, M, 2) where they lie in the source.
        starts: (B, k) int64, the cells that clusters begin with.
        place_weight: 1 (ImageNet) or 2 (COCO) in the authors' runs.
        rounds: of assigning cells and moving centres.
        sharpness: λ of :func:`transport`.

    Returns:
        (B, M) int64 in [0, k); a cluster may be empty. Cost O(rounds · B·M·(M + k·D)) time,
        O(B·M²) memory.
    """
    clusters = starts.shape[1]
    with no_autocast(cells):
        unit = F.normalize(full_precision(cells), dim=2)
        apart = torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist").to(unit)
        apart = apart.masked_fill(apart == 0, torch.inf)  # no cell is its own neighbour
        numbers = torch.arange(clusters, device=starts.device).expand_as(starts)
        labels = torch.full_like(apart[:, 0], clusters, dtype=torch.int64)
        labels = labels.scatter(1, starts, numbers)  # all but the starts belong to none
        centres = unit.gather(1, starts[..., None].expand(-1, -1, unit.shape[2]))
        sizes = unit.new_full((len(unit), 1, clusters), 1 / clusters)
        for _ in range(rounds):
            cost = place_weight * _nearest_member(apart, labels, clusters) - unit @ centres.mT
            labels = transport(_within_unit(cost), sizes, sharpness).argmax(2)
            members = _members(labels, clusters).to(unit)
            # From here on clusters keep their sizes; 0.01 cells for an empty one (authors' code).
            sizes = members.sum(1, keepdim=True) + 0.01
            sizes = sizes / sizes.sum(2, keepdim=True)
            centres = F.normalize(members.mT @ unit, dim=2)
        return labels


def _members(labels: Tensor, clusters: int) -> Tensor:
    """Which cells (B, N) belong to which clusters, (B, N, k) bool."""
    return labels[..., None] == torch.arange(clusters, device=labels.device)


def _nearest_member(apart: Tensor, labels: Tensor, clusters: int) -> Tensor:
    """Distances (B, M, k) of cells to the nearest other member of clusters, over the largest one;
    where there is none, the mean over all, the missing ones counted as 0 (authors' code).
    """
    nearest = apart.new_full((*apart.shape[:2], clusters + 1), torch.inf)
    nearest = nearest.scatter_reduce(2, labels[:, None].expand_as(apart), apart, "amin")
    nearest = nearest[..., :clusters]
    known = nearest.isfinite()
    mean = nearest.where(known, 0).mean((1, 2), keepdim=True)
    nearest = nearest.where(known, mean)
    return nearest / nearest.amax((1, 2), keepdim=True).clamp_min(torch.finfo(nearest.dtype).tiny)


def _within_unit(cost: Tensor) -> Tensor:
    """The costs, scaled so that those of all processes' images reach from 0 to 1."""
    ends = torch.stack([-cost.min(), cost.max()])
    if get_world_size() > 1:
        dist.all_reduce(ends, dist.ReduceOp.MAX)
    low, high = -ends[0], ends[1]
    return (cost - low) / (high - low).clamp_min(torch.finfo(cost.dtype).tiny)


def transport(cost: Tensor, sizes: Tensor, sharpness: float, *, rounds: int = 5) -> Tensor:
    """Sinkhorn–Knopp: how cells are shared out to clusters of given sizes.

    exp(−λ·cost), then ``rounds`` times rows scaled to 1/M, columns to ``sizes``.

    Args:
        cost: (B, M, k) in [0, 1]. sizes: (B, 1, k), of sum 1. sharpness: λ.

    Returns:
        (B, M, k), columns of sum ``sizes``.
    """
    plan = (-sharpness * cost).exp()
    for _ in range(rounds):
        plan = plan / (plan.sum(2, keepdim=True) * plan.shape[1])
        plan = plan * (sizes / plan.sum(1, keepdim=True))
    return plan


def region_means(cells: Tensor, labels: Tensor, clusters: int) -> tuple[Tensor, Tensor]:
    """Returns the mean of each cluster's cells in a view, (B, k, D), 0 for empty ones, and which
    clusters have some, (B, k) bool.

    Args:
        cells: (B, N, D). labels: (B, N). clusters: k.
    """
    with no_autocast(cells):
        members = _members(labels, clusters).to(full_precision(cells))
        counts = members.sum(1)
        means = members.mT @ full_precision(cells) / counts.clamp_min(1)[..., None]
        return means, counts > 0


class RegionQueue(KeyQueue):
    """The regions of the newest images of all processes, each seen in two views.

    Args:
        images: E, how many. clusters: k, most regions of an image. dim: D.
    """

    def __init__(self, images: int, *, clusters: int, dim: int) -> None:
        super().__init__(images, clusters * (2 * dim + 1))
        self.shape = (clusters, 2 * dim + 1)

    def push_regions(self, regions: Tensor, valid: Tensor) -> None:
        """Enqueues regions (2, B, k, D), of which those count that are ``valid`` (B, k)."""
        rows = torch.cat([*regions, valid[..., None].to(regions)], 2)
        self.push(rows.flatten(1))

    def regions(self, part: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Returns regions of some images, (2, e·k, D), and which of them count, (e·k,) bool."""
        rows = self.keys[part].view(-1, self.shape[1])
        return torch.stack(rows[:, :-1].chunk(2, 1)), rows[:, -1] > 0

    def nearest(self, x: Tensor, view: int) -> tuple[Tensor, Tensor]:
        """Finds the queue's region whose features in one view are the most similar ones.

        Args:
            x: (n, D). view: 0 or 1.

        Returns:
            The regions in both views, (2, n, D), and which x have one, (n,) bool: none of them
            while the queue is empty. Cost O(n·E·k·D) time, O(n·k) · ``CHUNK`` memory.
        """
        best = x.new_full((len(x),), -torch.inf)
        regions = x.new_zeros(2, *x.shape)
        for start in range(0, len(self.keys), CHUNK):
            candidates, valid = self.regions(slice(start, start + CHUNK))
            cosine, place = most_similar(x, candidates[view], valid)
            better = cosine > best
            best = torch.where(better, cosine, best)
            regions = torch.where(better[:, None], candidates[:, place].to(x), regions)
        return regions, best > -torch.inf


def most_similar(x: Tensor, candidates: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Returns for each x (n, D) its largest cosine with a valid candidate (m, D), −∞ where none is
    valid, and that candidate's place: (n,), (n,) int64.
    """
    with no_autocast(x):  # the nearest ones differ by less than half precision tells apart
        cosines = F.normalize(x, dim=1) @ F.normalize(candidates, dim=1).to(x).T
        best = cosines.masked_fill(~valid, -torch.inf).max(1)
        return best.values, best.indices


class Regions(NamedTuple):
    """What two views of the images show of the same clusters.

    Attributes:
        online: (2, B, k, D) of the online network. target: (2, B, k, D) of the target.
        valid: (B, k) bool, clusters that both views show; the others do not count.
    """

    online: Tensor
    target: Tensor
    valid: Tensor


@MODELS.register_module()
class CrIBo(Objective):
    """Cross-image object-level bootstrapping (Lebailly et al., ICLR 2024, arXiv 2310.07855), its
    losses on regions; that on class tokens is the objective ``DINO``.

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        clusters: k, most regions of an image: 32 (ImageNet), 64 (COCO).
        place_weight: weight of places beside features, see :func:`cluster_cells`: 1 (ImageNet), 2
            (COCO).
        prototypes: K. hidden: width inside the head. bottleneck: width of the prototypes.
        images: E, images whose regions the queue holds.
        images_weight: weight of the loss across images; 0 = no queue is searched.
        images_from: epoch from which on that loss counts.
        temperature: τ of the online network.
        sharpening: how the target's distributions are made, see
            :class:`pretrain.objectives.parts.sharpening.Sharpening`: a dict of its options; by
            default the authors' centring.
        hold_epochs: first epochs in which the prototypes are held.

    Raises:
        ValueError: a temperature not positive, a negative weight or number of epochs, ``clusters``
            below 2, ``images`` below 1, an illegal option of ``sharpening``; in ``forward``: more
            clusters than cells.
    """

    needs = Needs(target=("global",))

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        clusters: int = 32,
        place_weight: float = 1.0,
        prototypes: int = 65_536,
        hidden: int = 2048,
        bottleneck: int = 256,
        images: int = 25_000,
        images_weight: float = 1.0,
        images_from: float = 1.0,
        temperature: float = 0.1,
        sharpening: dict | None = None,
        hold_epochs: float = 1.0,
    ) -> None:
        super().__init__(features)
        check_positive(temperature=temperature)
        check_not_negative(
            place_weight=place_weight,
            images_weight=images_weight,
            images_from=images_from,
            hold_epochs=hold_epochs,
        )
        if clusters < 2:
            raise ValueError(f"clusters={clusters}: an image is divided into at least 2")
        self.clusters, self.place_weight = clusters, place_weight
        self.images_weight, self.images_from = images_weight, images_from
        self.tau, self.hold_epochs = temperature, hold_epochs
        self.stride = features.pick(stride)
        width = features.channels[self.stride]
        self.head = PrototypeHead(width, prototypes, hidden=hidden, bottleneck=bottleneck)
        self.target_head = target_copy(self.head)
        self.sharpening = Sharpening(prototypes, **{"how": "centring", **(sharpening or {})})
        self.prototypes = prototypes
        self.queue = RegionQueue(images, clusters=clusters, dim=width) if images_weight else None
        self._latest: tuple[Tensor, Tensor] | None = None

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best: the entropy of the target's distributions. Collapsed: ln K, for each of both losses
        that counts.
        """
        counted = 1 + self.images_weight * float(terms["returned"] > 0)
        best = float(terms["entropy"]) + self.images_weight * float(terms["images_entropy"])
        return Bounds(best=best, collapsed=math.log(self.prototypes) * counted)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The head follows."""
        return [(self.head, self.target_head)]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, its parts ``views`` and ``images``; ``entropy`` and ``images_entropy``
        of the target's distributions in them; ``regions``: mean number of regions of an image that
        both views show; ``returned``: share of them whose nearest one of other images leads back.
        """
        regions = self._regions(batch, encode)
        self._latest = regions.target, regions.valid
        valid = regions.valid.flatten()
        counts = valid.expand(2, -1)
        # (2, n, K), n = B·k: how many are valid is not waited for
        logits = self.head(regions.online.flatten(1, 2), hold=encode.epoch < self.hold_epochs)
        target = regions.target.flatten(1, 2)
        q = self._distributions(target, counts, encode.epoch, observe=self.training)
        views, entropy = self._agreement(logits, q, counts)
        images = images_entropy = returned = views.new_zeros(())
        if self.queue is not None and encode.epoch >= self.images_from:
            nearest, back = self._of_other_images(regions)
            q = self._distributions(nearest, back, encode.epoch, observe=False)
            images, images_entropy = self._agreement(logits, q, back)
            returned = mean_over_valid(back.to(views).mean(0), valid)
        return {
            "loss": views + self.images_weight * images,
            "views": views,
            "images": images,
            "entropy": entropy,
            "images_entropy": images_entropy,
            "regions": regions.valid.sum(1).float().mean(),
            "returned": returned,
        }

    @torch.no_grad()
    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Moves the centre, if there is one, and enqueues the regions of this step."""
        self.sharpening.move()
        if self.queue is not None and self._latest is not None:
            self.queue.push_regions(*self._latest)
        self._latest = None

    def _regions(self, batch: Batch, encode: Encodings) -> Regions:
        """Clusters the target's cells of both views and takes means of both networks' cells."""
        geometry = batch.views["global"].geometry
        target = [view.map(self.stride) for view in encode.target("global")[:2]]
        size = tuple(target[0].shape[2:])
        places = [cell_centres(geometry[:, view], size) for view in range(2)]
        count = 2 * math.prod(size)
        if self.clusters > count:
            raise ValueError(
                f"clusters={self.clusters}: two views of {size[0]} × {size[1]} cells hold at most "
                f"{count}"
            )
        target = [cells.flatten(2).mT for cells in target]  # (B, N, D)
        labels = cluster_cells(
            torch.cat(target, 1),
            torch.cat(places, 1),
            self._starts(len(geometry), count).to(geometry.device, non_blocking=True),
            place_weight=self.place_weight,
        )
        means, shown = [], []
        for cells, part in zip(target, labels.chunk(2, 1), strict=True):
            mean, present = region_means(cells, part, self.clusters)
            means.append(mean)
            shown.append(present)
        online = []
        for view, part in zip(encode.online("global")[:2], labels.chunk(2, 1), strict=True):
            cells = view.map(self.stride).flatten(2).mT
            online.append(region_means(cells, part, self.clusters)[0])
        return Regions(torch.stack(online), torch.stack(means), shown[0] & shown[1])

    def _starts(self, images: int, cells: int) -> Tensor:
        """Draws the cells that clusters begin with, (images, k) int64 on the CPU, none twice."""
        return torch.rand(images, cells).argsort(1)[:, : self.clusters]

    @torch.no_grad()
    def _distributions(
        self, regions: Tensor, counts: Tensor, epoch: float, *, observe: bool
    ) -> Tensor:
        """The target's distributions (2, n, K) of regions (2, n, D), of which some count, (2, n)
        bool.
        """
        z, counts = self.target_head(regions).flatten(0, 1), counts.flatten()
        q = self.sharpening(z, epoch=epoch, training=observe, counts=counts)
        return q.unflatten(0, regions.shape[:2])

    def _agreement(self, logits: Tensor, q: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over both directions of the cross-entropy of one view's logits with the other's
        distributions, over the regions that count, and the mean entropy of these distributions.

        Args:
            logits: (2, n, K). q: (2, n, K). counts: (2, n) bool.
        """
        losses, entropies = [], []
        for view in range(2):
            cost = cross_entropies(logits[1 - view], q[view], self.tau)
            losses.append(mean_over_valid(cost, counts[view]))
            entropy = -torch.xlogy(q[view], q[view]).sum(1)
            entropies.append(mean_over_valid(entropy, counts[view]))
        return sum(losses) / 2, sum(entropies) / 2

    @torch.no_grad()
    def _of_other_images(self, regions: Regions) -> tuple[Tensor, Tensor]:
        """Returns the queue's nearest region of each region, (2, n, D), as it looks in the view
        that it was searched in, and whether its other view leads back, (2, n) bool: to the same
        cluster among those of all images of the step.
        """
        everyone = gather(regions.target.transpose(0, 1))  # (W·B, 2, k, D)
        valid = gather(regions.valid.to(everyone)).flatten() > 0
        own = torch.arange(regions.valid.numel(), device=valid.device)
        own = own + get_rank() * len(own)
        nearest, back = [], []
        for view in range(2):
            pair, exists = self.queue.nearest(regions.target[view].flatten(0, 1), view)
            candidates = everyone[:, 1 - view].flatten(0, 1)
            place = most_similar(pair[1 - view], candidates, valid)[1]
            nearest.append(pair[view])
            back.append(regions.valid.flatten() & exists & (place == own))
        return torch.stack(nearest), torch.stack(back)
