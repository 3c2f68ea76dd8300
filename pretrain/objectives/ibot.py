"""iBOT and iBOT++: hidden cells, in iBOT++ visible ones too, are to be what the target sees."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from heads.prototypes import PrototypeHead
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.objectives.parts.sharpening import Sharpening, cross_entropies, entropy
from pretrain.ranges import check_not_negative, check_positive
from pretrain.structures import Batch


def masked_mean(
    losses: Tensor, mask: Tensor, *, visible_weight: float = 0.0, count_empty: bool = True
) -> Tensor:
    """Mean over views of (mean over hidden cells + visible_weight · mean over visible cells).

    Args:
        losses: (V, N) of each cell; those of cells without weight may be anything.
        mask: (V, N) bool, True = hidden.
        visible_weight: w; 0 = iBOT, 1 = iBOT++.
        count_empty: views without a hidden cell count as 0 in the mean over hidden cells, as in the
            codes of iBOT and DINOv2; False leaves them out.

    Returns:
        Scalar; with B equal on all processes exact under data-parallel averaging.
    """
    hidden = (losses * mask).sum(1) / mask.sum(1).clamp_min(1)
    loss = hidden.mean() if count_empty else mean_over_valid(hidden, mask.any(1))
    if visible_weight:
        seen = ~mask
        loss = loss + visible_weight * ((losses * seen).sum(1) / seen.sum(1).clamp_min(1)).mean()
    return loss


@MODELS.register_module()
class IBOT(Objective):
    """Image BERT pre-training with an online tokenizer (Zhou et al., ICLR 2022, arXiv 2111.07832),
    its loss on cells; that on class tokens is the objective ``DINO``.

    Args:
        prototypes: K. hidden: width inside the head. bottleneck: width of the prototypes.
        visible_weight: weight of the cells that are not hidden: 0 = iBOT, 1 = iBOT++ (TIPSv2).
        count_empty: see :func:`masked_mean`.
        temperature: τ of the online network.
        sharpening: how the target's distributions are made, see
            :class:`pretrain.objectives.parts.sharpening.Sharpening`: a dict of its options.
        hold_epochs: first epochs in which the prototypes are held.
        chunk: rows at a time that the online head turns into logits, recomputed in the backward
            pass; None = all at once. The result is the same.

    Raises:
        ValueError: a temperature not positive, a negative ``visible_weight``, ``chunk`` below 1, or
            an illegal option of ``sharpening``.
    """

    needs = Needs(online=(), masked=("global",), target=("global",), views=1, any_views=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        prototypes: int = 8192,
        hidden: int = 2048,
        bottleneck: int = 256,
        visible_weight: float = 0.0,
        count_empty: bool = True,
        temperature: float = 0.1,
        sharpening: dict | None = None,
        hold_epochs: float = 1.0,
        chunk: int | None = 4096,
    ) -> None:
        super().__init__(features)
        check_positive(temperature=temperature)
        check_not_negative(visible_weight=visible_weight, hold_epochs=hold_epochs)
        if chunk is not None and chunk < 1:
            raise ValueError(f"chunk={chunk}: must be None or at least 1 row")
        self.tau, self.visible_weight, self.count_empty = temperature, visible_weight, count_empty
        self.hold_epochs, self.chunk = hold_epochs, chunk
        self.stride = features.pick(None)
        width = features.channels[self.stride]
        self.head = PrototypeHead(width, prototypes, hidden=hidden, bottleneck=bottleneck)
        self.target_head = target_copy(self.head)
        self.sharpening = Sharpening(prototypes, **(sharpening or {}))
        self.prototypes = prototypes

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best: the entropy of the target's distributions. Collapsed: ln K, for each kind of cell
        that counts.
        """
        weight = float(terms["masked"]) + self.visible_weight
        return Bounds(
            best=float(terms["entropy"]) * weight, collapsed=math.log(self.prototypes) * weight
        )

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """The head follows."""
        return [(self.head, self.target_head)]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``; ``entropy`` of the target's distributions, and of their mean,
        ``spread``; ``masked``: the share of views with a hidden cell.
        """
        mask = encode.mask("global")
        online = _cells(encode.online("global", mask=mask), self.stride)
        target = _cells(encode.target("global"), self.stride)  # (B·V·N, D)
        hidden = mask.flatten(2)
        if not self.visible_weight:  # the head is dear: cells that do not count are left out
            chosen = encode.hidden_cells("global")
            online, target = online.index_select(0, chosen), target.index_select(0, chosen)
        with torch.no_grad():
            z = self.target_head(target)
            q = self.sharpening(z, epoch=encode.epoch, training=self.training)
        losses = self._losses(online, q, hold=encode.epoch < self.hold_epochs)
        if not self.visible_weight:
            losses = losses.new_zeros(hidden.numel()).index_copy(0, chosen, losses)
        loss = masked_mean(
            losses.view(-1, hidden.shape[2]),
            hidden.flatten(0, 1),
            visible_weight=self.visible_weight,
            count_empty=self.count_empty,
        )
        masked = hidden.any(2)
        share = masked.float().mean() if self.count_empty else masked.any().float()
        mean = q.sum(0, keepdim=True) / max(1, len(q))
        entropies = {"entropy": entropy(q) if len(q) else q.new_zeros(()), "spread": entropy(mean)}
        return {"loss": loss, **entropies, "masked": share}

    def update_memory(self, batch: Batch, encode: Encodings) -> None:
        """Moves the centre, if there is one."""
        self.sharpening.move()

    def _losses(self, x: Tensor, q: Tensor, *, hold: bool) -> Tensor:
        """Cross-entropies (n,) of the online network's cells x (n, D)."""
        step = self.chunk or max(1, len(x))
        parts = []
        for start in range(0, max(1, len(x)), step):  # with no row at all still one, empty part
            part = slice(start, start + step)
            if len(x) <= step:
                parts.append(self._of_rows(x[part], q[part], hold))
            else:
                parts.append(checkpoint(self._of_rows, x[part], q[part], hold, use_reentrant=False))
        return torch.cat(parts)

    def _of_rows(self, x: Tensor, q: Tensor, hold: bool) -> Tensor:
        return cross_entropies(self.head(x, hold=hold), q, self.tau)


def _cells(views: list[Features], stride: int) -> Tensor:
    """The cells of all views, (B·V·N, D), those of an image's first view first."""
    cells = [view.map(stride).flatten(2).transpose(1, 2) for view in views]
    return torch.stack(cells, 1).flatten(0, 2)
