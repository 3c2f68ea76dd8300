"""AdCo: a view finds its other view among learned negatives, which climb the very loss that the network descends."""

from __future__ import annotations

import math

import torch
from mmengine.dist import get_world_size
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.objectives.base import Bounds, Objective, follower
from pretrain.structures import Batch


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Mean over queries of −log[ e^{q·k/τ} / (e^{q·k/τ} + Σ_n e^{q·d_n/τ}) ], all vectors taken at length 1.

    Args:
        queries: (N, D). keys: (N, D), row i belongs to query i. negatives: (K, D). temperature: τ > 0.

    Returns:
        Scalar within [ln(1 + K·e^{−2/τ}), ln(1 + K·e^{2/τ})]. Cost O(N·K·D) time, O(N·K) memory.
    """
    with no_autocast(queries):
        q, k, d = (F.normalize(full_precision(x), dim=1) for x in (queries, keys, negatives))
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ d.T], 1) / temperature
        return (logits.logsumexp(1) - logits[:, 0]).mean()


@torch.no_grad()
def ascent(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Gradient of :func:`info_nce` with respect to the negatives: the way up.

    For negative D_n of direction d_n:  1/(N·τ·‖D_n‖) · Σ_q p(d_n|q)·(q − (q·d_n)·d_n),  p the softmax over the positive
    and all negatives. It is orthogonal to D_n. Arguments as there; returns (K, D).
    """
    with no_autocast(queries):
        q, k, raw = (full_precision(x) for x in (queries, keys, negatives))
        q, k = F.normalize(q, dim=1), F.normalize(k, dim=1)
        length = raw.norm(dim=1, keepdim=True).clamp_min(1e-12)
        d = raw / length
        cosine = q @ d.T  # (N, K)
        shares = torch.cat([(q * k).sum(1, keepdim=True), cosine], 1).div_(temperature).softmax(1)[:, 1:]
        pull = shares.T @ q - (shares * cosine).sum(0)[:, None] * d
        return pull / (len(q) * temperature * length)


@MODELS.register_module()
class AdCo(Objective):
    """Adversarial contrast (Hu et al., CVPR 2021): momentum contrast, whose queue is replaced by learned negatives.

    Both directions of two views, mean of the two. After each micro-batch the negatives take one step of SGD with
    momentum and weight decay uphill, along the mean of :func:`ascent` over all processes. They are buffers, so they are
    in every checkpoint, and no optimiser, clipping or warm-up of the engine touches them.

    Args:
        hidden: width inside the projector; None takes the backbone's. dim: width of the projection.
        negatives: K, their number.
        temperature: τ of the network's loss.
        negative_temperature: τ of the negatives' step; smaller looks at the nearest queries only.
        negative_lr, negative_momentum, negative_weight_decay: of the negatives' step; the rate is constant.

    Raises:
        ValueError: an argument out of range.
    """

    needs_target = True

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
        positive = dict(negatives=negatives, temperature=temperature, negative_temperature=negative_temperature)
        for name, value in positive.items():
            if value <= 0:
                raise ValueError(f"{name}={value}: must be positive")
        for name, value in dict(negative_lr=negative_lr, negative_weight_decay=negative_weight_decay).items():
            if value < 0:
                raise ValueError(f"{name}={value}: must not be negative")
        if not 0 <= negative_momentum < 1:
            raise ValueError(f"negative_momentum={negative_momentum}: must be within [0, 1)")
        self.temperature, self.negative_temperature = temperature, negative_temperature
        self.negative_lr, self.negative_momentum = negative_lr, negative_momentum
        self.negative_weight_decay = negative_weight_decay
        hidden = hidden or features.vector
        # No BatchNorm inside: ``remember`` runs the heads a second time, which must not move statistics.
        self.projector = nn.Sequential(nn.Linear(features.vector, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.target_projector = follower(self.projector)
        self.register_buffer("negatives", F.normalize(torch.randn(negatives, dim), dim=1))
        self.register_buffer("velocity", torch.zeros(negatives, dim))

    @property
    def bounds(self) -> Bounds:
        """Best: negatives opposite to all queries. Collapsed: queries, keys and, following them, negatives equal."""
        count = len(self.negatives)
        return Bounds(best=math.log1p(count * math.exp(-2 / self.temperature)), collapsed=math.log1p(count))

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The projector follows."""
        return [(self.projector, self.target_projector)]

    def _pairs(self, encode: Encodings) -> tuple[Tensor, Tensor]:
        """Queries and keys (2·B, D): view 1 with the target's view 2, then view 2 with its view 1."""
        queries = torch.cat([self.projector(view.vector) for view in encode.online("global")[:2]])
        with torch.no_grad():
            keys = torch.cat([self.target_projector(view.vector) for view in encode.target("global")[1::-1]])
        return queries, keys

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss`` and ``negative_length``, the negatives' mean norm: the longer, the slower they turn."""
        loss = info_nce(*self._pairs(encode), self.negatives, self.temperature)
        return {"loss": loss, "negative_length": self.negatives.norm(dim=1).mean()}

    @torch.no_grad()
    def remember(self, batch: Batch, encode: Encodings) -> None:
        """Moves the negatives one step up the loss."""
        direction = ascent(*self._pairs(encode), self.negatives, self.negative_temperature)
        world = get_world_size()
        if world > 1:
            dist.all_reduce(direction)
        slope = direction.div_(world).sub_(self.negatives, alpha=self.negative_weight_decay)
        self.velocity.mul_(self.negative_momentum).add_(slope)
        self.negatives.add_(self.velocity, alpha=self.negative_lr)
