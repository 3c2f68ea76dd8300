"""A feature pyramid from one map of a plain ViT."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.registry import MODELS
from timm.layers import LayerNorm2d
from torch import Tensor, nn

# Heads name their norm by type; mmcv has none over the channels of each cell.
MODELS.register_module(name="LN2d", module=LayerNorm2d)


@MODELS.register_module()
class SimplePyramid(nn.Module):
    """The last map of a plain ViT, resampled to several strides: the neck of ViTDet (arXiv
    2203.16527).

    For each stride, a branch of its own: as many 2 × 2 deconvolutions of stride 2 as it takes to
    get there, each halving the channels, LayerNorm and GELU between two of them; nothing at the
    ViT's own stride; max-pooling for coarser ones. Then a 1 × 1 and a 3 × 3 convolution, each with
    a LayerNorm over channels. There is no way from one level to another: every cell of a ViT's last
    map has seen the whole image already.

    Args:
        in_channels: D of the map.
        out_channels: of every level.
        in_stride: pixels per cell of the map, the ViT's patch size.
        strides: of the levels, finest first; powers of two apart from ``in_stride``.
        extra: adds one more level, every second cell of the coarsest.

    Raises:
        ValueError: a stride that is not a power of two apart, or not enough channels to halve.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        *,
        in_stride: int = 16,
        strides: Sequence[int] = (4, 8, 16, 32),
        extra: bool = True,
    ) -> None:
        super().__init__()
        self.extra = extra
        self.levels = nn.ModuleList()
        for stride in strides:
            doublings = math.log2(in_stride / stride)
            if doublings != int(doublings):
                raise ValueError(
                    f"SimplePyramid strides={tuple(strides)}: {stride} is not a power of two times "
                    f"in_stride={in_stride}"
                )
            if in_channels % 2 ** max(0, int(doublings)):
                raise ValueError(
                    f"SimplePyramid in_channels={in_channels} cannot be halved {int(doublings)} "
                    f"times for stride {stride}; leave that stride out"
                )
            self.levels.append(_branch(in_channels, out_channels, int(doublings)))

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """A backbone's tuple of maps, of which the last (B, D, h, w) counts, to levels (B,
        out_channels, h', w').
        """
        levels = [branch(maps[-1]) for branch in self.levels]
        if self.extra:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return tuple(levels)


def _branch(in_channels: int, out_channels: int, doublings: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for step in range(doublings):
        layers += [LayerNorm2d(in_channels), nn.GELU()] if step else []
        layers.append(nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2))
        in_channels //= 2
    layers += [nn.MaxPool2d(2) for _ in range(-doublings)]
    layers += [nn.Conv2d(in_channels, out_channels, 1, bias=False), LayerNorm2d(out_channels)]
    layers += [
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        LayerNorm2d(out_channels),
    ]
    return nn.Sequential(*layers)
