"""SimMIM: parts of an image are covered and painted. A control without pairs of views."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from heads.precision import full_precision, no_autocast
from pretrain.backbones.timm_backbone import FeatureInfo
from pretrain.encodings import Encodings
from pretrain.names import check_choice
from pretrain.needs import Needs
from pretrain.objectives.parts.base import Bounds, Objective
from pretrain.structures import Batch

LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss}
#: Pixels, about, from which the loss of a constant picture is estimated.
SAMPLED_PIXELS = 65_536


def random_patches(images: Tensor, mask_size: int, ratio: float) -> Tensor:
    """Draws which patches to cover: in every view ⌈ratio·n⌉ of its n patches, each choice equally
    likely.

    Numbers come from torch's global generator of the images' device, whose state is in every
    checkpoint.

    Args:
        images: (B, V, 3, H, W). mask_size: side of a patch in pixels, s. ratio: share to cover.

    Returns:
        (B, V, H/s, W/s) bool, True = covered.

    Raises:
        ValueError: the views are not a whole number of patches high and wide.
    """
    *views, _, height, width = images.shape
    if height % mask_size or width % mask_size:
        raise ValueError(
            f"mask_size={mask_size}: views of {height}×{width} px are not a whole number of "
            "patches; choose a divisor of both sides"
        )
    rows, columns = height // mask_size, width // mask_size
    rank = torch.rand(*views, rows * columns, device=images.device).argsort(-1).argsort(-1)
    # 1e-9: where ratio·n is a whole number, rounding may have made it a little more.
    return (rank < math.ceil(ratio * rows * columns - 1e-9)).unflatten(-1, (rows, columns))


def in_pixels(patches: Tensor, mask_size: int) -> Tensor:
    """Enlarges a mask of patches (…, h, w) to pixels (…, h·mask_size, w·mask_size)."""
    return patches.repeat_interleave(mask_size, -2).repeat_interleave(mask_size, -1)


def normalised_patches(images: Tensor, mask_size: int) -> Tensor:
    """Returns images (…, 3, H, W), every patch shifted and scaled to mean 0 and variance 1 over
    pixels and channels.

    1e-6 is added to the variance, so a patch of one colour becomes 0.
    """
    blocks = images.unflatten(-1, (-1, mask_size)).unflatten(
        -3, (-1, mask_size)
    )  # (…, 3, h, s, w, s)
    axes = (-5, -3, -1)
    variance, mean = torch.var_mean(blocks, axes, correction=0, keepdim=True)
    return ((blocks - mean) / (variance + 1e-6).sqrt()).flatten(-2).flatten(-3, -2)


def masked_loss(prediction: Tensor, target: Tensor, mask: Tensor, loss: str = "l1") -> Tensor:
    """Mean over covered pixels and the three channels of |prediction − target| (l1) or its square
    (l2).

    Every view has the same number of covered pixels, so the mean over processes is that of one
    process.

    Args:
        prediction, target: (B, V, 3, H, W). mask: (B, V, H, W) bool, True = covered. loss: "l1" or
            "l2".

    Returns:
        Scalar, 0 if nothing is covered. Cost O(B·V·H·W).
    """
    with no_autocast(prediction):
        difference = LOSSES[loss](
            full_precision(prediction), full_precision(target), reduction="none"
        )
        return (difference * mask[:, :, None]).sum() / (3 * mask.sum()).clamp_min(1)


def constant_loss(target: Tensor, mask: Tensor, loss: str = "l1") -> Tensor:
    """The loss of the best picture of one colour, estimated from about 65,000 pixels; arguments as
    above.

    Features that tell nothing apart reach no less: the median of each channel for l1, the mean for
    l2.
    """
    step = max(1, mask.numel() // SAMPLED_PIXELS) | 1  # odd, to meet all columns
    sample = (
        full_precision(target.detach()).flatten(3)[..., ::step].movedim(2, 0).flatten(1)
    )  # (3, n)
    sample = sample.masked_fill(~mask.flatten(2)[..., ::step].flatten(), math.nan)
    centre = torch.nanmedian if loss == "l1" else torch.nanmean
    colour = torch.stack([centre(channel) for channel in sample])[:, None]
    return LOSSES[loss](sample, colour.expand_as(sample), reduction="none").nanmean()


@MODELS.register_module()
class SimMIM(Objective):
    """Simple masked image modelling (Xie et al., CVPR 2022, arXiv 2111.09886) on every view of the
    group.

    Covered patches are replaced by learned pixels before the network, not by a learned token after
    its patch embedding. The embedding is linear in the pixels, so the pixels span what the token
    spans (if it is no wider than a patch has values), and every network can be trained, ResNets
    included.

    Args:
        mask_size: side of a covered patch in pixels; a divisor of the views' sides.
        mask_ratio: share of patches to cover, within (0, 1].
        normalise_target: see :func:`normalised_patches`; False paints the normalised image itself,
            as the paper does.
        loss: "l1" or "l2", see :func:`masked_loss`.

    Raises:
        ValueError: an argument out of range.
    """

    needs = Needs(views=1, any_views=True)

    def __init__(
        self,
        features: FeatureInfo,
        *,
        mask_size: int = 32,
        mask_ratio: float = 0.6,
        normalise_target: bool = False,
        loss: str = "l1",
    ) -> None:
        super().__init__(features)
        if mask_size < 1:
            raise ValueError(f"mask_size={mask_size}: must be at least 1 pixel")
        if not 0 < mask_ratio <= 1:
            raise ValueError(f"mask_ratio={mask_ratio}: must be within (0, 1]")
        check_choice("loss", loss, LOSSES)
        self.mask_size, self.mask_ratio = mask_size, mask_ratio
        self.normalise_target, self.loss = normalise_target, loss
        self.stride = features.pick(None)
        self.mask_token = nn.Parameter(torch.zeros(3, mask_size, mask_size))
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        self.decoder = nn.Sequential(
            nn.Conv2d(features.channels[self.stride], 3 * self.stride**2, 1),
            nn.PixelShuffle(self.stride),
        )

    def bounds(self, batch: Batch, terms: Mapping[str, Tensor]) -> Bounds:
        """Collapsed: the loss of the best picture of one colour."""
        return Bounds(best=0.0, collapsed=float(terms["constant"]))

    def no_weight_decay(self) -> set[str]:
        """The optimiser lets the covered patches' pixels be."""
        return {"mask_token"}

    def cover(self, images: Tensor, mask: Tensor) -> Tensor:
        """Returns images (B, V, 3, H, W) with the learned pixels in the patches where mask (B, V,
        h, w) is True.
        """
        token = self.mask_token.repeat(1, *mask.shape[2:])  # (3, H, W)
        return torch.where(in_pixels(mask, self.mask_size)[:, :, None], token, images)

    def forward(self, batch: Batch, encode: Encodings) -> dict[str, Tensor]:
        """Returns ``loss`` and ``constant``, the loss of the best picture of one colour.

        Raises:
            ValueError: the views' sides are no multiples of ``mask_size`` or of the deepest map's
                stride.
        """
        images = batch.views["global"].images
        mask = random_patches(images, self.mask_size, self.mask_ratio)
        features = encode.online("global", images=self.cover(images, mask))
        prediction = torch.stack([self.decoder(view.map(self.stride)) for view in features], 1)
        if prediction.shape != images.shape:
            height, width = images.shape[-2:]
            raise ValueError(
                f"views of {height}×{width} px: the map at stride {self.stride} "
                f"paints {prediction.shape[-2]}×{prediction.shape[-1]}; both sides must be "
                "multiples of the stride"
            )
        target = normalised_patches(images, self.mask_size) if self.normalise_target else images
        pixels = in_pixels(mask, self.mask_size)
        return {
            "loss": masked_loss(prediction, target, pixels, self.loss),
            "constant": constant_loss(target, pixels, self.loss),
        }
