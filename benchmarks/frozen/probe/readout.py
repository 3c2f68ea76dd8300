"""Where a linear read-out P, β meets an upsampler: before it wherever that is exact, else behind
it.

For an upsampler U(x, F) = S_x(M·F) + s, linear in the features F of an image x,

    P·U(x, F) + β = S_x(P·M·F) + P·s + β

so only the K outputs of the read-out pass through S_x, not the C channels: C / K times less work,
in training as well, where ∂P needs no more than the transposed S_x of ∂outputs. S_x knows no
features: ``prepare`` computes it once.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from heads.upsamplers.base import LinearUpsampler
from heads.upsamplers.interpolation import Interpolation


class OwnGrid:
    """The read-out on the features' own grid, nothing upsampled.

    Attributes:
        folded: Whether the read-out is applied before upsampling.
    """

    folded = True

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """P (K, C) and β (K,) as :meth:`apply` takes them; differentiable."""
        return weight, bias

    def prepare(self, image: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """What is computed of images (B, 3, H, W) and their features (B, C, h, w) once, images
        along the first axis.
        """
        return ()

    def apply(
        self, features: Tensor, prepared: tuple[Tensor, ...], *, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """Outputs (B, K, H', W') of features (B, C, h, w) for what :meth:`fold` made of P and β;
        differentiable.
        """
        return F.conv2d(features, weight[..., None, None], bias)


class Folded(OwnGrid):
    """The read-out before a linear upsampler.

    Args:
        upsampler: Linear and foldable.
        size: (H', W') of the outputs.
    """

    def __init__(self, upsampler: LinearUpsampler, size: tuple[int, int]) -> None:
        self.upsampler, self.size = upsampler, size

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`OwnGrid`."""
        return self.upsampler.fold(weight, bias)

    def prepare(self, image: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """See :class:`OwnGrid`: S_x."""
        return self.upsampler.filters(image, tuple(features.shape[-2:]), self.size)

    def apply(
        self, features: Tensor, prepared: tuple[Tensor, ...], *, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """See :class:`OwnGrid`."""
        low = F.conv2d(features, weight[..., None, None])
        return self.upsampler.spread(prepared, low, self.size) + bias[:, None, None]


class Unfolded(OwnGrid):
    """The read-out behind any upsampler; what is kept of an image are its upsampled features.

    Args:
        upsampler: Anything with ``upsample(image, features, output_size)``.
        size: (H', W') of the outputs.
    """

    folded = False

    def __init__(self, upsampler: Any, size: tuple[int, int]) -> None:
        self.upsampler, self.size = upsampler, size

    def prepare(self, image: Tensor, features: Tensor) -> tuple[Tensor, ...]:
        """See :class:`OwnGrid`: the upsampled features (B, C, H', W')."""
        return (self.upsampler.upsample(image, features, self.size),)

    def apply(
        self, features: Tensor, prepared: tuple[Tensor, ...], *, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """See :class:`OwnGrid`."""
        return F.conv2d(prepared[0], weight[..., None, None], bias)


def read_out(upsampler: Any, size: tuple[int, int]) -> OwnGrid:
    """The cheapest exact way to read upsampled features out.

    Args:
        upsampler: None: outputs on the network's own grid are resized bilinearly, which is the same
            as features upsampled bilinearly.
        size: (H', W') of the outputs.
    """
    if upsampler is None:
        return Folded(Interpolation("bilinear"), size)
    if isinstance(upsampler, LinearUpsampler) and upsampler.foldable:
        return Folded(upsampler, size)
    return Unfolded(upsampler, size)
