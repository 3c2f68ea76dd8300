"""Instance discrimination: a view finds its image's other view among those of all images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.names import check_choice
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.objectives.parts.reduce import gather
from pretrain.ranges import check_positive
from pretrain.structures import Batch

FORMS = ("softmax", "uel")


def instance_loss(a: Tensor, b: Tensor, temperature: float, form: str = "softmax") -> Tensor:
    """Loss of picking an image out of all n images of all processes, mean over this process's rows.

    "softmax": −log p_ii with p_ij = softmax_j(cos(a_i, b_j)/τ), rows of a against the rows of b.
    Two rows of a never meet; both a and b get a gradient. All features equal: ln n.

    "uel": every row z_i of a and b together, 2n in all, against the m = 2n − 1 others, whichever
    view they belong to: −log p_i,pos − Σ_{j≠i,pos} log(1 − p_ij), p_ij the softmax over j ≠ i and
    pos the other view of the image. The others are constants, so a row moves as the one that picks
    only. All features equal: ln m − (m − 1)·ln(1 − 1/m).

    Args:
        a, b: (B, D), any scale, row i of both from image i. temperature: τ > 0. form: "softmax" or
            "uel".

    Returns:
        Scalar ≥ 0. Cost O(B·n·D) time, O(B·n) memory; four times that for "uel".
    """
    with no_autocast(a):
        a, b = F.normalize(full_precision(a), dim=1), F.normalize(full_precision(b), dim=1)
        if form == "uel":
            return _uel(torch.cat([a, b]), temperature)
        everything = gather(b)  # (n, D), in rank order
        own = torch.arange(len(a), device=a.device) + get_rank() * len(a)
        return F.cross_entropy(a @ everything.T / temperature, own)


def _uel(rows: Tensor, temperature: float) -> Tensor:
    """The form "uel" of :func:`instance_loss` for (2B, D) unit vectors, view 0 of all images, then
    view 1.
    """
    everything = gather(rows.detach())  # (2n, D): both views of rank 0, both of rank 1, …
    local = torch.arange(len(rows), device=rows.device)
    own, partner = (index + get_rank() * len(rows) for index in (local, local.roll(len(rows) // 2)))
    columns = torch.arange(len(everything), device=rows.device)
    logits = rows @ everything.T / temperature
    logits = logits.masked_fill(columns == own[:, None], -math.inf)
    loss = F.cross_entropy(logits, partner)
    if len(everything) == 2:  # one image: no other row that could be picked
        return loss
    others = log_one_minus_softmax(logits).masked_fill(columns == partner[:, None], 0)
    return loss - others.sum(1).mean()


def log_one_minus_softmax(logits: Tensor) -> Tensor:
    """log(1 − softmax(logits)) over the last axis of ≥ 2 entries, finite and of finite slope also
    where p rounds to 1.

    Only a row's largest entry can exceed 1/2; there 1 − p is the share of the other entries, summed
    without it.
    """
    everything = logits.logsumexp(-1, keepdim=True)
    largest = torch.zeros_like(logits, dtype=torch.bool).scatter_(
        -1, logits.argmax(-1, keepdim=True), True
    )
    without = logits.masked_fill(largest, -math.inf).logsumexp(-1, keepdim=True) - everything
    # masked_fill before the logarithm: the entry that is not used must not send its infinite slope
    # back.
    small = torch.log1p(-(logits - everything).masked_fill(largest, -math.inf).exp())
    return torch.where(largest, without, small)


@MODELS.register_module()
class InstanceDiscrimination(Objective):
    """The two base losses that adversarial contrastive learning (Ho & Vasconcelos, NeurIPS 2020)
    uses beside SimCLR's.

    "softmax" ("Plain" there): view 0 against view 1. "uel": both views against all others, the loss
    of unsupervised embedding learning by invariant and spreading instance features (Ye et al., CVPR
    2019). A linear head.

    Args:
        form: "softmax" or "uel", see :func:`instance_loss`.
        dim: width of the embedding.
        temperature: τ.

    Raises:
        ValueError: unknown ``form``, or temperature not positive.
    """

    def __init__(
        self,
        features: FeatureInfo,
        *,
        form: str = "softmax",
        dim: int = 128,
        temperature: float = 0.1,
    ) -> None:
        super().__init__(features)
        check_choice("form", form, FORMS)
        check_positive(temperature=temperature)
        self.form, self.temperature = form, temperature
        self.projector = nn.Linear(features.vector, dim)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: see :func:`instance_loss`, for the n images of all processes; a fresh network
        starts near it.
        """
        n = len(batch.views["global"].images) * get_world_size()
        collapsed = math.log(n)
        if self.form == "uel":
            m = 2 * n - 1  # rows that a row is compared with
            collapsed = math.log(m) - (m - 1) * math.log1p(-1 / m) if n > 1 else 0.0
        return Bounds(best=None, collapsed=collapsed, random_start=collapsed)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``."""
        a, b = (self.projector(view.vector) for view in encode.online("global")[:2])
        return {"loss": instance_loss(a, b, self.temperature, self.form)}
