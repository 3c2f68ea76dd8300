"""AdCo: a view finds its other view among negatives that learn to climb the same loss."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.dist import get_world_size
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.host_buffers import HostBuffers
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.reduce import gather
from pretrain.ranges import check_not_negative, check_positive
from pretrain.structures import Batch


def cosines(queries: Tensor, keys: Tensor, negatives: Tensor) -> Tensor:
    """Cosine of every query with its key, then with every negative.

    Args:
        queries: (N, D), any scale. keys: (N, D), row i belongs to query i. negatives: (K, D).

    Returns:
        (N, 1 + K). Cost O(N·K·D).
    """
    with no_autocast(queries):
        q, k, d = (F.normalize(full_precision(x), dim=1) for x in (queries, keys, negatives))
        return torch.cat([(q * k).sum(1, keepdim=True), q @ d.T], 1)


def info_nce(cosines: Tensor, temperature: float) -> Tensor:
    """Mean over rows of −log[ e^{c_0/τ} / Σ_j e^{c_j/τ} ], the first column being the positive.

    Args:
        cosines: (N, 1 + K). temperature: τ > 0.

    Returns:
        Scalar within [ln(1 + K·e^{−2/τ}), ln(1 + K·e^{2/τ})].
    """
    logits = cosines / temperature
    return (logits.logsumexp(1) - logits[:, 0]).mean()


@torch.no_grad()
def ascent(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Gradient of :func:`info_nce` of :func:`cosines` with respect to the negatives: the way up.

    For negative D_n of direction d_n, p the softmax over the positive and all negatives:

        1/(N·τ·‖D_n‖) · Σ_q p(d_n|q)·(q − (q·d_n)·d_n)

    It is orthogonal to D_n. Arguments as there; returns (K, D).
    """
    with no_autocast(queries):
        cosine = cosines(queries, keys, negatives)
        shares = (cosine / temperature).softmax(1)[:, 1:]  # (N, K)
        q, raw = F.normalize(full_precision(queries), dim=1), full_precision(negatives)
        length = raw.norm(dim=1, keepdim=True).clamp_min(1e-12)
        towards = shares.T @ q - (shares * cosine[:, 1:]).sum(0)[:, None] * raw / length
        return towards / (len(q) * temperature * length)


@MODELS.register_module()
class AdCo(HostBuffers, Objective):
    """Adversarial contrast (Hu et al., CVPR 2021): momentum contrast, whose queue is replaced by
    learned negatives.

    Both directions of two views, mean of the two. After each micro-batch the negatives take one
    step of SGD with momentum and weight decay uphill, along the mean of :func:`ascent` over all
    processes. In the first micro-batches keys of the target take their places instead, until all
    are replaced. They are buffers, so they are in every checkpoint, and no optimiser, clipping or
    warm-up of the engine touches them.

    Args:
        hidden: width inside the projector; None takes the backbone's. dim: width of the projection.
        negatives: K, their number.
        temperature: τ of the network's loss.
        negative_temperature: τ of the negatives' step; smaller looks at the nearest queries only.
        negative_lr, negative_momentum, negative_weight_decay: of the negatives' step; the rate is
            constant.

    Raises:
        ValueError: an argument out of range.
    """

    needs = Needs(target=("global",))
    on_host = ("filled",)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        hidden: int | None = None,
        dim: int = 128,
        negatives: int = 65_536,
        temperature: float = 0.12,
        negative_temperature: float = 0.02,
        negative_lr: float = 3.0,
        negative_momentum: float = 0.9,
        negative_weight_decay: float = 1e-4,
    ) -> None:
        super().__init__(features)
        check_positive(
            negatives=negatives, temperature=temperature, negative_temperature=negative_temperature
        )
        check_not_negative(negative_lr=negative_lr, negative_weight_decay=negative_weight_decay)
        if not 0 <= negative_momentum < 1:
            raise ValueError(f"negative_momentum={negative_momentum}: must be within [0, 1)")
        self.temperature, self.negative_temperature = temperature, negative_temperature
        self.negative_lr, self.negative_momentum = negative_lr, negative_momentum
        self.negative_weight_decay = negative_weight_decay
        hidden = hidden or features.vector
        # No BatchNorm inside: ``update_memory`` runs the heads a second time, which must not move
        # statistics.
        self.projector = nn.Sequential(
            nn.Linear(features.vector, hidden), nn.ReLU(), nn.Linear(hidden, dim)
        )
        self.target_projector = target_copy(self.projector)
        self.register_buffer("negatives", F.normalize(torch.randn(negatives, dim), dim=1))
        self.register_buffer("velocity", torch.zeros(negatives, dim))
        self.register_buffer("filled", torch.zeros((), dtype=torch.int64))

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best: negatives opposite to all queries. Collapsed: all vectors equal."""
        count = len(self.negatives)
        return Bounds(
            best=math.log1p(count * math.exp(-2 / self.temperature)), collapsed=math.log1p(count)
        )

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector follows."""
        return [(self.projector, self.target_projector)]

    def _pairs(self, encode: Encodings) -> tuple[Tensor, Tensor]:
        """Queries and keys (2·B, D): view 1 with the target's view 2, then the other way round."""
        queries = torch.cat([self.projector(view.vector) for view in encode.online("global")[:2]])
        with torch.no_grad():
            keys = torch.cat(
                [self.target_projector(view.vector) for view in encode.target("global")[1::-1]]
            )
        return queries, keys

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``; ``positive``, the mean cosine of query and key; ``hardest``, that of
        query and nearest negative; ``negative_length``, the negatives' mean norm: the longer, the
        slower they turn.
        """
        cosine = cosines(*self._pairs(encode), self.negatives)
        return {
            "loss": info_nce(cosine, self.temperature),
            "positive": cosine[:, 0].mean(),
            "hardest": cosine[:, 1:].amax(1).mean(),
            "negative_length": self.negatives.norm(dim=1).mean(),
        }

    @torch.no_grad()
    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Moves the negatives one step up the loss, or first fills them with keys."""
        queries, keys = self._pairs(encode)
        start = int(self.filled)
        if start < len(self.negatives):
            self._fill(keys, start)
            return
        direction = ascent(queries, keys, self.negatives, self.negative_temperature)
        world = get_world_size()
        if world > 1:
            dist.all_reduce(direction)
        slope = direction.div_(world).sub_(self.negatives, alpha=self.negative_weight_decay)
        self.velocity.mul_(self.negative_momentum).add_(slope)
        self.negatives.add_(self.velocity, alpha=self.negative_lr)

    def _fill(self, keys: Tensor, start: int) -> None:
        """Puts the keys (2·B, D) of all processes in place of the negatives from ``start`` on.

        Random ones would never move: a positive of cosine 1 beside negatives near 0 has all of a
        softmax at τ 0.02.
        """
        by_image = keys.view(2, -1, keys.shape[1]).transpose(
            0, 1
        )  # an order that processes do not change
        everything = F.normalize(full_precision(gather(by_image)), dim=2).flatten(0, 1)
        end = min(start + len(everything), len(self.negatives))
        self.negatives[start:end] = everything[: end - start]
        self.filled.fill_(end)
