"""CIM: where in a context does a turned, stretched, recoloured part of it lie?"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from heads.correlation import CorrelationDecoder
from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo, Features
from pretrain.encodings import Encodings
from pretrain.geometry import coverage
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.structures import Batch

# The side that is trained -> what the objective then needs.
SIDES = {
    "exemplar": Needs(online=("exemplar",), target=("context",), views=1, attacked="exemplar"),
    "context": Needs(online=("context",), target=("exemplar",), views=1, attacked="context"),
    "both": Needs(online=("context", "exemplar"), views=1, attacked="exemplar"),
}


def margins(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns how much more "shown" scores than "not shown" at every pixel: > 0 is foreground.

    Args:
        scores: (B, K, 2, h, w) of the two classes per cell.
        size: (H, W) of the context in pixels. Bilinear between the centres of the corner cells,
            which come to lie on the corner pixels (``align_corners``). Upsampling is linear, so it
            may follow the difference.

    Returns:
        (B, K, H, W), float32 at least.
    """
    with no_autocast(scores):
        difference = full_precision(scores[:, :, 1] - scores[:, :, 0])
        return F.interpolate(difference, size, mode="bilinear", align_corners=True)


def map_loss(margin: Tensor, target: Tensor) -> Tensor:
    """Two-class cross-entropy per exemplar, averaged over images and pixels, **summed** over the K
    exemplars.

    Args:
        margin: (B, K, H, W), see :func:`margins`. target: (B, K, H, W) bool, where each exemplar
            lies.

    Returns:
        Scalar; K·log 2 for margins of 0.
    """
    return margin.shape[1] * F.binary_cross_entropy_with_logits(margin, target.to(margin.dtype))


def map_iou(margin: Tensor, target: Tensor) -> Tensor:
    """Returns the IoU of predicted and true foreground of every map, (B, K)."""
    foreground = margin > 0
    union = (foreground | target).sum((2, 3))
    return (foreground & target).sum((2, 3)) / union.clamp_min(1)


def prior_loss(target: Tensor) -> Tensor:
    """Returns the loss of always answering with the mean foreground rate r of these maps: K·H(r),
    scalar float32.

    Args:
        target: (B, K, H, W) bool.
    """
    rate = target.float().mean()
    return target.shape[1] * (torch.special.entr(rate) + torch.special.entr(1 - rate))


@MODELS.register_module()
class CIM(Objective):
    """Correlational image modelling, "crop and correlate" (Li, Xie, Loy, CVPR 2023, arXiv
    2303.12670).

    Reads the first view of the group ``context`` and all views of ``exemplar``, which should lie
    within it.

    Args:
        stride: stride of the map to learn on; None takes the deepest.
        width, heads, depth, correlation, joint: see :class:`heads.correlation.CorrelationDecoder`.
        update: the side that the trained network sees and which gets its gradient: "exemplar"
            (paper) or "context"; the target network sees the other one. "both" (ours): the trained
            network sees both, there is no target.

    Raises:
        ValueError: unknown ``update``, or a decoder setting out of range.
    """

    needs = SIDES["exemplar"]

    def __init__(
        self,
        features: FeatureInfo,
        *,
        stride: int | None = None,
        width: int = 512,
        heads: int = 16,
        depth: int = 1,
        correlation: str = "cross_attention",
        joint: int = 0,
        update: str = "exemplar",
    ) -> None:
        super().__init__(features)
        check_choice("update", update, SIDES)
        self.needs = SIDES[update]
        self.stride = features.pick(stride)
        self.decoder = CorrelationDecoder(
            features.channels[self.stride],
            width=width,
            heads=heads,
            depth=depth,
            correlation=correlation,
            joint=joint,
        )

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: the batch's prior, all that can be said without looking. Fresh: K·log 2."""
        fresh = batch.views["exemplar"].images.shape[1] * math.log(2)
        return Bounds(best=0.0, collapsed=float(terms["prior"]), random_start=fresh)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss``, ``iou`` (mean over maps), ``prior`` (the loss of one who knows only how
        large exemplars are; per process) and ``foreground``, the mean share of the context that an
        exemplar covers.
        """
        target = self.targets(batch)
        margin = self.predict(batch, encode)
        return {
            "loss": map_loss(margin, target),
            "iou": map_iou(margin.detach(), target).mean(),
            "prior": prior_loss(target),
            "foreground": target.float().mean(),
        }

    def targets(self, batch: Batch) -> Tensor:
        """Returns which pixels of the context each exemplar shows, (B, K, H, W) bool."""
        context = batch.views["context"]
        return coverage(
            context.geometry[:, 0], batch.views["exemplar"].geometry, size=context.images.shape[-2:]
        )

    def predict(self, batch: Batch, encode: Encodings) -> Tensor:
        """Returns the predicted maps as :func:`margins`, (B, K, H, W)."""
        context = self._encoded("context", encode)[0]
        exemplars = self._encoded("exemplar", encode)
        maps = torch.stack([exemplar.map(self.stride) for exemplar in exemplars], 1)
        tokens = [exemplar.prefix for exemplar in exemplars]
        prefix = None if tokens[0] is None else torch.stack(tokens, 1)
        scores = self.decoder(context.map(self.stride), maps, prefix)
        return margins(scores, batch.views["context"].images.shape[-2:])

    def _encoded(self, group: str, encode: Encodings) -> list[Features]:
        """The views of a group through the network whose part it is."""
        return encode.online(group) if group in self.needs.online else encode.target(group)
