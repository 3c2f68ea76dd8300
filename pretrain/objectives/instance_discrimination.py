"""Instance discrimination: a view finds the other view of its image among those of all images of the step."""

from __future__ import annotations

import math

import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.objectives.base import Bounds, Objective
from pretrain.objectives.reduce import gather
from pretrain.structures import Batch

FORMS = ("softmax", "uel")


def instance_loss(a: Tensor, b: Tensor, temperature: float, form: str = "softmax") -> Tensor:
    """One-directional loss of the rows of a against all rows of b, mean over this process's rows.

    With p_ij = softmax_j(cos(a_i, b_j)/τ) over the n rows j of b of all processes:
    "softmax": −log p_ii. "uel": −log p_ii − Σ_{j≠i} log(1 − p_ij), with b as a constant. Two rows of a never meet.
    All features equal: ln n; for "uel" ln n − (n − 1)·ln(1 − 1/n).

    Args:
        a, b: (B, D), any scale, row i of both from image i. temperature: τ > 0. form: "softmax" or "uel".

    Returns:
        Scalar ≥ 0. Cost O(B·n·D) time, O(B·n) memory.
    """
    with no_autocast(a):
        a, b = F.normalize(full_precision(a), dim=1), F.normalize(full_precision(b), dim=1)
        everything = gather(b.detach() if form == "uel" else b)  # (n, D), in rank order
        logits = a @ everything.T / temperature
        own = torch.arange(len(a), device=a.device) + get_rank() * len(a)
        loss = F.cross_entropy(logits, own)
        if form == "softmax" or len(everything) == 1:
            return loss
        others = torch.arange(len(everything), device=a.device) != own[:, None]
        return loss - log_one_minus_softmax(logits).masked_fill(~others, 0).sum(1).mean()


def log_one_minus_softmax(logits: Tensor) -> Tensor:
    """log(1 − softmax(logits)) over the last axis of ≥ 2 entries, finite and of finite slope also where p rounds to 1.

    Only a row's largest entry can exceed 1/2; there 1 − p is the share of the other entries, summed without it.
    """
    everything = logits.logsumexp(-1, keepdim=True)
    largest = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, logits.argmax(-1, keepdim=True), True)
    without = logits.masked_fill(largest, -math.inf).logsumexp(-1, keepdim=True) - everything
    # masked_fill before the logarithm: the entry that is not used must not send its infinite slope back.
    small = torch.log1p(-(logits - everything).masked_fill(largest, -math.inf).exp())
    return torch.where(largest, without, small)


@MODELS.register_module()
class InstanceDiscrimination(Objective):
    """The two base losses that adversarial contrastive learning (Ho & Vasconcelos, NeurIPS 2020) uses beside SimCLR's.

    Row i of view 0 against all rows of view 1; a linear head. "uel" is the loss of unsupervised embedding learning by
    invariant and spreading instance features (Ye et al., CVPR 2019), there between an image and its augmentation.

    Args:
        form: "softmax" or "uel", see :func:`instance_loss`.
        dim: width of the embedding.
        temperature: τ.

    Raises:
        ValueError: unknown ``form``, or temperature not positive.
    """

    def __init__(
        self, features: FeatureInfo, *, form: str = "softmax", dim: int = 128, temperature: float = 0.1
    ) -> None:
        super().__init__(features)
        if form not in FORMS:
            raise ValueError(f"form={form!r}: must be one of {', '.join(FORMS)}")
        if temperature <= 0:
            raise ValueError(f"temperature={temperature}: must be positive")
        self.form, self.temperature = form, temperature
        self.projector = nn.Linear(features.vector, dim)
        self._rows: int | None = None

    @property
    def bounds(self) -> Bounds:
        """Collapsed: see :func:`instance_loss`, for the n images of the last batch; a fresh network starts near it."""
        n = self._rows
        collapsed = None if n is None else math.log(n)
        if collapsed and self.form == "uel":
            collapsed -= (n - 1) * math.log1p(-1 / n)
        return Bounds(best=None, collapsed=collapsed, random_start=collapsed)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``."""
        a, b = (self.projector(view.vector) for view in encode.online("global")[:2])
        self._rows = len(a) * get_world_size()
        return {"loss": instance_loss(a, b, self.temperature, self.form)}
