"""The all-MLP decoder of SegFormer, with any upsampler in place of its bilinear one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from heads.upsamplers.base import Upsampler
from heads.upsamplers.interpolation import Interpolation


class SegformerHead(nn.Module):
    """Segments from a pyramid (Xie et al., NeurIPS 2021, arXiv 2105.15203, section 3.2).

        logits = P·dropout(relu(BN(Fuse·[up(L_s·F_s + l_s) for the strides s])))

    Every level passes a linear layer to ``dim`` channels, is upsampled to one feature per
    ``stride`` pixels, and a 1×1 convolution fuses them. Upsamplers see the image and the level
    behind its linear layer, so their width is ``dim``; they are trained with the rest where they
    have parameters.

    Args:
        channels: stride -> width of the level; levels finer than ``stride`` are not read.
        classes: of the logits.
        dim: width of every level and of the fused map.
        stride: pixels per feature of the logits.
        upsamplers: stride -> upsampler of that level; bilinear for levels without.
        dropout: share of channels dropped before the classifier.

    Raises:
        ValueError: no level at ``stride`` or coarser.
    """

    def __init__(
        self,
        channels: Mapping[int, int],
        classes: int,
        *,
        dim: int = 256,
        stride: int = 4,
        upsamplers: Mapping[int, Upsampler] | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.strides, self.stride = tuple(sorted(s for s in channels if s >= stride)), stride
        if not self.strides:
            raise ValueError(
                f"stride={stride}: there is no level at it or coarser, only {sorted(channels)}"
            )
        self.linear = nn.ModuleList(nn.Conv2d(channels[s], dim, 1) for s in self.strides)
        self.fuse = nn.Sequential(
            nn.Conv2d(dim * len(self.strides), dim, 1, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(inplace=True),
        )
        self.classify = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(dim, classes, 1))
        self.upsamplers = nn.ModuleList()
        for s in self.strides:
            given = (upsamplers or {}).get(s)
            self.upsamplers.append(Interpolation("bilinear") if given is None else given)

    def forward(self, image: Tensor, pyramid: Mapping[int, Tensor]) -> Tensor:
        """Segments.

        Args:
            image: (B, 3, H, W) normalised as the backbone's input; H and W multiples of the
                strides.
            pyramid: stride -> (B, C_stride, H / stride, W / stride).

        Returns:
            (B, classes, H / stride, W / stride) logits at the head's ``stride``.
        """
        size = tuple(side // self.stride for side in image.shape[-2:])
        levels = []
        for stride, linear, upsampler in zip(
            self.strides, self.linear, self.upsamplers, strict=True
        ):
            level = linear(pyramid[stride])
            levels.append(
                level if stride == self.stride else upsampler.upsample(image, level, size)
            )
        return self.classify(self.fuse(torch.cat(levels, 1)))
