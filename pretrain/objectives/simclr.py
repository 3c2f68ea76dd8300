"""SimCLR: an image's pooled views attract, others repel. An image-level control."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from heads.projector import start_linear_layers, vector_mlp
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.reduce import gather
from pretrain.ranges import check_positive
from pretrain.structures import Batch


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """NT-Xent loss, mean over this process's anchors against the views of all processes.

    ℓ_i = −mean_{p ∈ P(i)} [ s_ip − log Σ_{a ≠ i} exp(s_ia) ], s = cos/τ, P(i) the other views of
    the same image. For two views it is SimCLR's loss. All features equal: ln(n − 1), n = number of
    views in the batch of all processes.

    Args:
        z: (B, V, D), V ≥ 2, any scale. temperature: τ > 0.

    Returns:
        Scalar. Cost O(B·V·n·D) time, O(B·V·n) memory.
    """
    with no_autocast(z):
        z = F.normalize(full_precision(z), dim=2)
        everything = gather(z).flatten(0, 1)  # (n, D), image-major in rank order
        anchors = z.flatten(0, 1)  # (B·V, D)
        logits = anchors @ everything.T / temperature
        own = torch.arange(len(anchors), device=z.device) + get_rank() * len(anchors)
        column = torch.arange(len(everything), device=z.device)
        # −∞ before log-sum-exp: the self-similarity 1/τ is the row's largest entry and would make
        # the others underflow.
        logits = logits.masked_fill(column == own[:, None], -math.inf)
        views = z.shape[1]
        positives = (column // views == own[:, None] // views) & (column != own[:, None])
        similarity = logits.masked_fill(~positives, 0).sum(1) / (views - 1)
        return (logits.logsumexp(1) - similarity).mean()


@MODELS.register_module()
class SimCLR(Objective):
    """SimCLR (Chen et al., ICML 2020) on every view of the group.

    Args:
        hidden: width inside the projector; None takes the backbone's. dim: width of the projection.
        temperature: τ.
        last_shift: whether the BatchNorm at the projector's end learns a shift; the authors' does
            not.
        head_start: how the projector's linear layers start, see
            :func:`heads.projector.start_linear_layers`; the authors' "normal".

    Raises:
        ValueError: temperature not positive, unknown ``head_start``.
    """

    needs = Needs(any_views=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        hidden: int | None = None,
        dim: int = 128,
        temperature: float = 0.1,
        last_shift: bool = True,
        head_start: str = "torch",
    ) -> None:
        super().__init__(features)
        check_positive(temperature=temperature)
        self.temperature = temperature
        width = features.vector
        self.projector = vector_mlp(
            width, hidden or width, dim, last_norm=True, last_shift=last_shift
        )
        start_linear_layers(self.projector, head_start)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: ln(n − 1) for the n views of the batch of all processes; a fresh network
        starts near it.
        """
        images, views = batch.views["global"].images.shape[:2]
        collapsed = math.log(images * views * get_world_size() - 1)
        return Bounds(best=None, collapsed=collapsed, random_start=collapsed)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``."""
        z = torch.stack([self.projector(view.vector) for view in encode.online("global")], 1)
        return {"loss": nt_xent(z, self.temperature)}
