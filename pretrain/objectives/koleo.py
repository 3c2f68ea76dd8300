"""KoLeo: vectors of one view spread out, each away from its nearest other."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.structures import Batch

EPSILON = 1e-8  # as in DINOv2's code, added to every difference and to the distance


def koleo_loss(x: Tensor, group: int | None = None) -> Tensor:
    """−mean_i ln(‖x_i − x_j(i) + 1e-8‖ + 1e-8), x of unit length, j(i) the nearest other one of its
    group, whose choice has no gradient (the Kozachenko–Leonenko estimate of entropy).

    Args:
        x: (B, D) float, any scale. group: vectors that are compared with each other, so many images
            in a row; None = all of this process.

    Returns:
        Scalar. Cost O(B·group·D).

    Raises:
        ValueError: B is no multiple of ``group``, or a group is smaller than 2.
    """
    group = len(x) if group is None else group
    if group < 2 or len(x) % group:
        raise ValueError(
            f"group={group}: {len(x)} images per process and pass must be a multiple of it, and "
            "it at least 2"
        )
    with no_autocast(x):
        x = F.normalize(full_precision(x), dim=1, eps=EPSILON).unflatten(0, (-1, group))
        with torch.no_grad():
            cosines = x @ x.mT
            cosines.diagonal(dim1=1, dim2=2).fill_(-2)
            nearest = cosines.argmax(2)
        others = x.gather(1, nearest[..., None].expand_as(x))
        return -(((x - others + EPSILON).norm(dim=2)) + EPSILON).log().mean()


@MODELS.register_module()
class KoLeo(Objective):
    """Kozachenko–Leonenko regulariser (Sablayrolles et al., ICLR 2019, arXiv 1806.03198) on the
    pooled vectors, before any head, as in DINOv2; beside DINO with a weight of 0.1.

    Views are compared apart, since two views of an image must not repel each other.

    Args:
        group: see :func:`koleo_loss`; DINOv3 takes 16. With None the loss of two processes is not
            that of one, since each looks for neighbours among its own images.

    Raises:
        ValueError: ``group`` below 2.
    """

    needs = Needs(views=1, any_views=True)

    def __init__(self, features: FeatureInfo, *, group: int | None = None) -> None:
        super().__init__(features)
        if group is not None and group < 2:
            raise ValueError(f"group={group}: must be None or at least 2 images")
        self.group, self.width = group, features.vector

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Of the sum over views. Best: known where a simplex of all vectors fits into D dimensions.
        Collapsed: all vectors equal.
        """
        images, views = batch.views["global"].images.shape[:2]
        n = self.group or images
        best = None if n > self.width + 1 else -views * math.log(2 * n / (n - 1)) / 2
        return Bounds(best=best, collapsed=-views * math.log(EPSILON * (math.sqrt(self.width) + 1)))

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, the sum over views."""
        losses = [koleo_loss(view.vector, self.group) for view in encode.online("global")]
        return {"loss": torch.stack(losses).sum()}
