"""SlotCon: cells of both views fall into the same groups, and groups of an image agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.overlap import overlap_cells, shares_region
from pretrain.objectives.parts.reduce import gather, mean_over_valid, sum_over_processes
from pretrain.objectives.parts.sharpening import Centre, cross_entropies, entropy
from pretrain.ranges import check_positive, check_share
from pretrain.structures import Batch


class Slots(NamedTuple):
    """A map's cells, put together by the prototypes that they are near.

    Attributes:
        scores: (B, K, H, W) cosines of cells and prototypes.
        vectors: (B, K, D), for each prototype the mean of the cells, weighted by their shares in
            it.
        active: (B, K) bool, which prototypes are the nearest one of a cell.
    """

    scores: Tensor
    vectors: Tensor
    active: Tensor


def group_cells(x: Tensor, prototypes: Tensor, temperature: float) -> Slots:
    """Returns the slots of a map: a_k(i) = softmax_k(cos(p_k, x_i)/τ) + 1e-6,
    slot_k = Σ_i a_k(i)·x_i / Σ_i a_k(i).

    Args:
        x: (B, D, H, W) projected cells, any scale. prototypes: (K, D), p, any scale.
        temperature: τ.

    Cost O(B·K·N·D) time, O(B·K·N) memory.
    """
    with no_autocast(x):
        x, size = full_precision(x).flatten(2), x.shape[2:]  # (B, D, N)
        unit = F.normalize(full_precision(prototypes), dim=1)
        scores = unit @ F.normalize(x, dim=1)  # (B, K, N)
        # 1e-6 as in the authors' code: prototypes without a cell take the mean of all.
        shares = (scores / temperature).softmax(1) + 1e-6
        vectors = (shares / shares.sum(2, keepdim=True)) @ x.mT
        active = torch.zeros_like(scores[..., 0], dtype=torch.bool)
        active = active.scatter(1, scores.argmax(1), True)
        return Slots(scores.unflatten(2, size), vectors, active)


def grouping_loss(scores: Tensor, q: Tensor, shared: Tensor, temperature: float) -> Tensor:
    """Mean over images, then cells of −Σ_K q · log softmax(scores/τ).

    Args:
        scores: (B, N, K) of the online network. q: (B, N, K) distributions of the target for the
            same places in the other view, no gradient.
        shared: (B,) bool, the images that count: those whose views share a region.
        temperature: τ.

    Returns:
        Scalar; 0 if no image counts. Not less than the mean entropy of q.
    """
    return mean_over_valid(cross_entropies(scores, q, temperature).mean(1), shared)


def slot_contrast(
    query: Slots, key: Slots, predictor: Callable[[Tensor, Tensor], Tensor], temperature: float
) -> Tensor:
    """InfoNCE of slots that are active in both views, times 2τ; negatives are all other active
    slots of the target, of all images and processes.

    Args:
        query: of the online network's view. key: of the target's other view, no gradient.
        predictor: of slots (n, D) and which of them count (n,) bool -> (n, D).
        temperature: τ.

    Returns:
        Scalar, the mean over the anchors of all processes; 0 without an anchor. Cost O(n·M·D) time,
        O(n·M) memory for n = B·min(K, N) rows here and M = W·n keys: no image has more active slots
        than cells, and how many there are is not waited for.
    """
    most = min(query.scores.shape[1], query.scores[0, 0].numel())
    anchors, places = _first_ones(query.active & key.active, most)
    z = predictor(_at(query.vectors, places).flatten(0, 1), anchors.flatten())
    with no_autocast(z), torch.no_grad():
        keys = F.normalize(full_precision(key.vectors), dim=2)
        own = _at(keys, places).flatten(0, 1)
        active, chosen = _first_ones(key.active, most)
        others = gather(_at(keys, chosen)).flatten(0, 1)
        held = gather(active.to(keys)).flatten() > 0
    with no_autocast(z):
        z = F.normalize(full_precision(z), dim=1) / temperature
        logits = (z @ others.T).masked_fill(~held, torch.finfo(z.dtype).min)
        losses = logits.logsumexp(1) - (z * own).sum(1)
    return 2 * temperature * mean_over_valid(losses, anchors.flatten())


def _first_ones(mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Places (B, count) of a mask's (B, K) ones, filled up with others, and which are ones."""
    held, places = mask.to(torch.float32).topk(count, 1)
    return held > 0, places


def _at(vectors: Tensor, places: Tensor) -> Tensor:
    """Vectors (B, K, D) at places (B, n): (B, n, D)."""
    return vectors.gather(1, places[..., None].expand(-1, -1, vectors.shape[2]))


class CountedNorm(nn.Module):
    """BatchNorm of rows over those that count, in all processes.

    Args:
        width: D. momentum: weight of the new statistics. epsilon: added to the variance.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, *, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon = momentum, epsilon
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Normalises x (n, D) by its rows ``counts`` (n,) bool; in evaluation mode by the running
        statistics.
        """
        with no_autocast(x):
            x = full_precision(x)
            mean, variance = self.running_mean, self.running_var
            if self.training:
                weights = counts[:, None].to(x)
                number = sum_over_processes(weights.sum())
                mean = sum_over_processes((x * weights).sum(0)) / number.clamp_min(1)
                distance = (x - mean).square() * weights
                variance = sum_over_processes(distance.sum(0)) / number.clamp_min(1)
                self._remember(mean, variance, number)
            return (x - mean) * (variance + self.epsilon).rsqrt() * self.weight + self.bias

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, number: Tensor) -> None:
        rate = self.momentum * (number > 1)
        unbiased = variance * number / (number - 1).clamp_min(1)
        self.running_mean.lerp_(mean.to(self.running_mean), rate.to(self.running_mean))
        self.running_var.lerp_(unbiased.to(self.running_var), rate.to(self.running_var))


class Predictor(nn.Module):
    """(Linear, :class:`CountedNorm`, GELU) twice, Linear: (n, dim) -> (n, dim).

    Args:
        dim: D. hidden: width inside.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        widths = (dim, hidden, hidden, dim)
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.norms = nn.ModuleList([CountedNorm(hidden), CountedNorm(hidden)])
        for layer in self.layers:
            _start_small(layer)

    def forward(self, x: Tensor, counts: Tensor) -> Tensor:
        """Predicts from rows x, of which ``counts`` (n,) bool are normalised together."""
        for layer, norm in zip(self.layers, self.norms, strict=False):
            x = F.gelu(norm(layer(x), counts))
        return self.layers[-1](x)


@MODELS.register_module()
class SlotCon(Objective):
    """Semantic grouping and slot contrast (Wen et al., NeurIPS 2022, arXiv 2205.15288).

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        slots: K, prototypes that cells are put to: 256 (COCO), 2,048 (ImageNet).
        hidden: width inside projector and predictor. dim: width of cells, slots and prototypes.
        temperature: τ of the contrast of slots.
        online_temperature: τ of the online network's distributions over prototypes.
        target_temperature: τ of the target's, and of the shares that make slots in both networks.
        centre_momentum: of the running mean that the target's scores are centred by.
        dense_weight: weight of the cells' grouping; the contrast of slots gets the rest.

    Raises:
        ValueError: a temperature not positive, ``dense_weight`` or ``centre_momentum`` outside
            [0, 1], ``slots`` below 2.
    """

    needs = Needs(target=("global",), upright=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        slots: int = 256,
        hidden: int = 4096,
        dim: int = 256,
        temperature: float = 0.2,
        online_temperature: float = 0.1,
        target_temperature: float = 0.07,
        centre_momentum: float = 0.9,
        dense_weight: float = 0.5,
    ) -> None:
        super().__init__(features)
        check_positive(
            temperature=temperature,
            online_temperature=online_temperature,
            target_temperature=target_temperature,
        )
        check_share(dense_weight=dense_weight, centre_momentum=centre_momentum)
        if slots < 2:
            raise ValueError(f"slots={slots}: cells are put to at least 2")
        self.temperature, self.dense_weight = temperature, dense_weight
        self.online_temperature, self.target_temperature = online_temperature, target_temperature
        self.stride = features.pick(stride)
        self.projector = _projector(features.channels[self.stride], hidden, dim)
        self.predictor = Predictor(dim, hidden)
        self.prototypes = nn.Embedding(slots, dim)
        self.target_projector = target_copy(self.projector)
        self.target_prototypes = target_copy(self.prototypes)
        self.centre = Centre(slots, centre_momentum)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best: the entropy of the target's distributions, in both directions."""
        return Bounds(best=2 * self.dense_weight * float(terms["entropy"]))

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Projector and prototypes follow; the predictor has no target."""
        return [
            (self.projector, self.target_projector),
            (self.prototypes, self.target_prototypes),
        ]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, its parts ``dense`` and ``slots`` (sums of both directions);
        ``entropy`` of the target's distributions, and of their mean, ``spread``; ``active``: mean
        number of the target's active slots per image and view.
        """
        online = [
            self._slots(view, self.projector, self.prototypes)
            for view in encode.online("global")[:2]
        ]
        with torch.no_grad():
            target = [
                self._slots(view, self.target_projector, self.target_prototypes)
                for view in encode.target("global")[:2]
            ]
        if self.training:  # scores as they are, before they are put on a common grid
            self.centre.observe(torch.stack([slots.scores for slots in target]).movedim(2, -1))
        dense, distributions = self._dense(batch.views["global"].geometry, online, target)
        contrasts = []
        for query, key in ((online[0], target[1]), (online[1], target[0])):
            contrasts.append(slot_contrast(query, key, self.predictor, self.temperature))
        contrast = sum(contrasts)
        loss = self.dense_weight * dense + (1 - self.dense_weight) * contrast
        active = torch.stack([slots.active for slots in target]).sum(2).float().mean()
        return {"loss": loss, "dense": dense, "slots": contrast, **distributions, "active": active}

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Moves the centre."""
        self.centre.move()

    def _slots(self, view: Features, projector: nn.Module, prototypes: nn.Embedding) -> Slots:
        x = projector(view.map(self.stride))
        return group_cells(x, prototypes.weight, self.target_temperature)

    def _dense(
        self, geometry: Tensor, online: list[Slots], target: list[Slots]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the cells, both directions summed, and what is logged of the target."""
        first, second = geometry[:, 0], geometry[:, 1]
        shared = shares_region(first, second)
        with torch.no_grad():
            cells = _on_common_grid(target, first, second)
            q = [self.centre(view, self.target_temperature) for view in cells]
        scores = _on_common_grid(online, first, second)
        losses = []
        for own, other in ((0, 1), (1, 0)):
            losses.append(grouping_loss(scores[own], q[other], shared, self.online_temperature))
        with torch.no_grad():
            both = torch.cat(q, 1)  # (B, 2N, K)
            of_images = -torch.xlogy(both, both).sum(2).mean(1)
            counted = both.mean(1) * shared[:, None]
            mean = counted.sum(0) / shared.sum().clamp_min(1)
            logged = {"entropy": mean_over_valid(of_images, shared), "spread": entropy(mean)}
        return sum(losses), logged


def _on_common_grid(slots: list[Slots], first: Tensor, second: Tensor) -> list[Tensor]:
    """Scores of both views at the same places of what they share, each (B, H², K)."""
    side = slots[0].scores.shape[2]
    return [
        overlap_cells(slots[0].scores, first, second, side=side),
        overlap_cells(slots[1].scores, second, first, side=side),
    ]


def _projector(channels: int, hidden: int, out: int) -> nn.Sequential:
    """The authors' head for maps: (1×1 convolution, BatchNorm, GELU) twice, 1×1 convolution."""
    modules: list[nn.Module] = []
    for width in (channels, hidden):
        modules += [nn.Conv2d(width, hidden, 1), nn.BatchNorm2d(hidden), nn.GELU()]
    modules.append(nn.Conv2d(hidden, out, 1))
    for layer in modules[::3]:
        _start_small(layer)
    return nn.Sequential(*modules)


def _start_small(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
