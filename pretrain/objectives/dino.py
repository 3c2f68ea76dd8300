"""DINO: every view's vector is to be what the target makes of the other large view."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.prototypes import PrototypeHead
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.sharpening import Sharpening, entropy
from pretrain.ranges import check_not_negative, check_positive
from pretrain.structures import Batch


def dino_loss(logits: Tensor, q: Tensor, temperature: float) -> Tensor:
    """Mean over ordered pairs (large view g of the target, view v ≠ g of the online network) and
    images of −Σ_K q_g · log softmax(s_v/τ).

    Args:
        logits: (V, B, K) of the online network; the first G views are the large ones. q: (G, B, K)
            distributions of the target, no gradient.
        temperature: τ.

    Returns:
        Scalar, exact under data-parallel averaging. Cost O(V·B·K).
    """
    with no_autocast(logits):
        logs = F.log_softmax(full_precision(logits) / temperature, 2)
        large, images = q.shape[:2]
        everyone = q.sum(0)
        total = -(everyone * logs[large:].sum(0)).sum()
        total = total - ((everyone - q) * logs[:large]).sum()
        return total / (images * large * (len(logits) - 1))


@MODELS.register_module()
class DINO(Objective):
    """Self-distillation with no labels (Caron et al., ICCV 2021, arXiv 2104.14294) of the pooled
    vectors.

    Views of the group ``local`` are read where the recipe makes them.

    Args:
        prototypes: K. hidden: width inside the head. bottleneck: width of the prototypes.
        masked: the online network sees its large views with cells hidden, as beside ``IBOT``.
        temperature: τ of the online network.
        sharpening: how the target's distributions are made, see
            :class:`pretrain.objectives.parts.sharpening.Sharpening`: a dict of its options.
        hold_epochs: first epochs in which the prototypes are held.

    Raises:
        ValueError: a temperature not positive, or an illegal option of ``sharpening``.
    """

    needs = Needs(target=("global",), may_read=("local",))

    def __init__(
        self,
        features: FeatureInfo,
        *,
        prototypes: int = 65_536,
        hidden: int = 2048,
        bottleneck: int = 256,
        masked: bool = False,
        temperature: float = 0.1,
        sharpening: dict | None = None,
        hold_epochs: float = 1.0,
    ) -> None:
        super().__init__(features)
        check_positive(temperature=temperature)
        check_not_negative(hold_epochs=hold_epochs)
        self.tau, self.hold_epochs, self.masked = temperature, hold_epochs, masked
        if masked:
            self.needs = Needs(
                online=(), masked=("global",), target=("global",), may_read=("local",)
            )
        options = dict(hidden=hidden, bottleneck=bottleneck)
        self.head = PrototypeHead(features.vector, prototypes, **options)
        self.target_head = target_copy(self.head)
        self.sharpening = Sharpening(prototypes, **(sharpening or {}))
        self.prototypes = prototypes

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best: the entropy of the target's distributions. Collapsed: ln K; a fresh head is near
        it.
        """
        collapsed = math.log(self.prototypes)
        return Bounds(best=float(terms["entropy"]), collapsed=collapsed, random_start=collapsed)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The head follows."""
        return [(self.head, self.target_head)]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``; ``entropy`` of the target's distributions, and of their mean,
        ``spread``.
        """
        mask = encode.mask("global") if self.masked else None
        views = list(encode.online("global", mask=mask)[:2])
        if "local" in batch.views:
            views += encode.online("local")
        with torch.no_grad():
            target = _vectors(encode.target("global")[:2])  # (2, B, D)
            z = self.target_head(target).flatten(0, 1)
            q = self.sharpening(z, epoch=encode.epoch, training=self.training)
        logits = self.head(_vectors(views), hold=encode.epoch < self.hold_epochs)
        loss = dino_loss(logits, q.unflatten(0, target.shape[:2]), self.tau)
        return {"loss": loss, "entropy": entropy(q), "spread": entropy(q.mean(0, keepdim=True))}

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Moves the centre, if there is one."""
        self.sharpening.move()


def _vectors(views: list[Features]) -> Tensor:
    return torch.stack([view.vector for view in views])
