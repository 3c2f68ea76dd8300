"""PixPro: propagated cells agree with the other view's momentum cells at the same place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.pixel_propagation import PixelPropagation
from heads.precision import full_precision, no_autocast
from heads.projector import pixel_mlp
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.geometry import pixel_positives
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective, target_copy
from pretrain.objectives.parts.levels import Levels
from pretrain.objectives.parts.reduce import mean_over_valid
from pretrain.structures import Batch

# The authors' code doubles each direction: ideal −4 instead of −2.
LOSS_FACTOR = {"repository": 2.0, "paper": 1.0}


def mean_positive_cosine(y: Tensor, k: Tensor, positives: Tensor) -> Tensor:
    """Mean cosine over the positive pairs of each image: Σ_A cos(y_i, k_j) / (|A| + 1e-6).

    Args:
        y: (B, D, H, W) one view's cells. k: (B, D, H', W') the other's. positives: (B, N, N') bool,
            A.

    Returns:
        (B,); 0 for images without a positive pair. Invariant to the scale of every cell. Cost
        O(B·N·N'·D).
    """
    with no_autocast(y):
        y = F.normalize(full_precision(y).flatten(2), dim=1)
        k = F.normalize(full_precision(k).flatten(2), dim=1)
        cosine = y.transpose(1, 2) @ k
        count = positives.sum((1, 2)).to(cosine.dtype)
        return (cosine * positives).sum((1, 2)) / (count + 1e-6)  # 1e-6 as in the authors' code


def pixpro_loss(
    y: tuple[Tensor, Tensor],
    k: tuple[Tensor, Tensor],
    positives: Tensor,
    *,
    loss_form: str = "repository",
    count_empty: bool = True,
) -> Tensor:
    """PixPro's loss: −f · mean_B cos(y¹, k²) − f · mean_B cos(y², k¹), over positive pairs only.

    Args:
        y: propagated maps of views 1 and 2, each (B, D, H, W), online branch.
        k: projected maps of views 1 and 2, target branch, no gradient.
        positives: (B, N, N) bool, view 1 against view 2.
        loss_form: "repository" (f = 2, within [−4, 4]) or "paper" (f = 1, within [−2, 2]).
        count_empty: images without a positive pair count as 0 in the mean (authors' code); False
            leaves them out (paper).

    Returns:
        Scalar; the sum over both directions. 0 with finite gradients if no image has a pair.
    """
    agreement = mean_positive_cosine(y[0], k[1], positives)
    agreement = agreement + mean_positive_cosine(y[1], k[0], positives.transpose(1, 2))
    mean = (
        agreement.mean() if count_empty else mean_over_valid(agreement, positives.flatten(1).any(1))
    )
    return -LOSS_FACTOR[loss_form] * mean


@MODELS.register_module()
class PixPro(Objective):
    """Pixel-to-propagation consistency (Xie et al., CVPR 2021, arXiv 2011.10043).

    The instance branch of the paper ("PixPro*") is the objective ``BYOL(pool="after")`` beside this
    one.

    Args:
        stride: stride of the map to learn on; None takes the deepest. Not together with
            ``pyramid``.
        pyramid: feature-pyramid pretraining, see :class:`pretrain.objectives.parts.levels.Levels`;
            its weights stay in the checkpoint for transfer. The loss is the plain mean over levels
            with shared projector and propagation (our choice: the paper does not say).
        hidden: width inside the projector: 4096 in the authors' code, 2048 in re-implementations of
            the paper.
        dim: width of the projection.
        propagate: False compares projections as they are, without propagation; the three settings
            below then do nothing.
        gamma, layers, normalise_values: see :class:`heads.pixel_propagation.PixelPropagation`.
        pos_radius_diag: two cells match if they are closer than this many cell diagonals.
        loss_form, count_empty: see :func:`pixpro_loss`.

    Raises:
        ValueError: unknown ``loss_form``, or a stride the backbone does not have.
    """

    needs = Needs(target=("global",))

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        pyramid: dict[str, Any] | None = None,
        hidden: int = 4096,
        dim: int = 256,
        propagate: bool = True,
        gamma: float = 2.0,
        layers: int = 1,
        normalise_values: bool = True,
        pos_radius_diag: float = 0.7,
        loss_form: str = "repository",
        count_empty: bool = True,
    ) -> None:
        super().__init__(features)
        check_choice("loss_form", loss_form, LOSS_FACTOR)
        self.loss_form, self.count_empty = loss_form, count_empty
        self.pos_radius_diag = pos_radius_diag
        self.levels = Levels(features, stride=stride, pyramid=pyramid)
        self.projector = pixel_mlp(self.levels.channels, hidden, dim)
        self.propagation: nn.Module = nn.Identity()
        if propagate:
            self.propagation = PixelPropagation(
                dim, gamma, layers=layers, normalise_values=normalise_values
            )
        self.target_levels = target_copy(self.levels)
        self.target_projector = target_copy(self.projector)

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Best and collapsed coincide: this loss cannot see a collapse; watch the features."""
        best = -2 * LOSS_FACTOR[self.loss_form]
        return Bounds(best=best, collapsed=best, random_start=0.0)

    def momentum_pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Projector (and pyramid) follow; propagation has no target."""
        return [(self.levels, self.target_levels), (self.projector, self.target_projector)]

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss`` and ``pairs``, the mean number of positive pairs per image and level."""
        geometry = batch.views["global"].geometry
        online = [self.levels(view) for view in encode.online("global")[:2]]
        with torch.no_grad():
            target = [self.target_levels(view) for view in encode.target("global")[:2]]
        losses, pairs = [], []
        for maps, target_maps in zip(
            zip(*online, strict=True), zip(*target, strict=True), strict=True
        ):
            y = tuple(self.propagation(self.projector(m)) for m in maps)
            with torch.no_grad():
                k = tuple(self.target_projector(m) for m in target_maps)
            size = maps[0].shape[2:]
            positives = pixel_positives(
                geometry[:, 0],
                geometry[:, 1],
                size_q=size,
                size_k=size,
                pos_radius_diag=self.pos_radius_diag,
            )
            losses.append(
                pixpro_loss(y, k, positives, loss_form=self.loss_form, count_empty=self.count_empty)
            )
            pairs.append(positives.sum((1, 2)).float().mean())
        return {"loss": torch.stack(losses).mean(), "pairs": torch.stack(pairs).mean()}
