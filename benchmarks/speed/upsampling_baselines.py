"""Three plain ways to compute a learned joint bilateral stack, as others do it, to compare ours
with.

    unfold     F.unfold of features and of range features, then einsum
    tap loop   for each of the 49 taps one shifted multiply-add of whole maps
    two-step   the known compiled operator: enlarged features and weights lie in memory, one
               adaptive convolution reads both. The convolution is ours (factor 1), which flatters
               this baseline

All enlarge the features by a bicubic resize first, compute the weights in torch as arXiv 2403.10516
and its code do (softmax, spatial kernel, division by the sum, fix-up) and mix channels at full
resolution. Parameters are those of a :class:`heads.upsamplers.jbu.JBUStack` outside training;
results agree with it up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from heads.upsamplers.guidance import pooled
from heads.upsamplers.jbu import JBULevel, JBUStack
from heads.upsamplers.operators import adaptive_conv

Level = Callable[[JBULevel, Tensor, Tensor], Tensor]


def stack(level: Level, model: JBUStack, *, image: Tensor, features: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, f·h, f·w) with one of the levels below; image (B, 3, H, W)."""
    for parameters in model.levels:
        size = tuple(side * parameters.factor for side in features.shape[-2:])
        features = level(parameters, features, pooled(image, size))
    mixing = model.fixup_proj[1]
    weight, bias = mixing.weight.to(features.dtype), mixing.bias.to(features.dtype)
    return features + 0.1 * F.conv2d(features, weight, bias)


def unfold_level(level: JBULevel, maps: Tensor, guidance: Tensor) -> Tensor:
    """(B, C, h, w), (B, 3, f·h, f·w) -> (B, C, f·h, f·w)."""
    weights = _weights(level, guidance, _unfold_dots).to(maps.dtype)
    return unfold_conv(_enlarged(level, maps), weights)


def tap_level(level: JBULevel, maps: Tensor, guidance: Tensor) -> Tensor:
    """As :func:`unfold_level`."""
    return tap_conv(_enlarged(level, maps), _weights(level, guidance, _tap_dots).to(maps.dtype))


def two_step_level(level: JBULevel, maps: Tensor, guidance: Tensor) -> Tensor:
    """As :func:`unfold_level`."""
    weights = _weights(level, guidance, _unfold_dots).to(maps.dtype)
    return operator_conv(_enlarged(level, maps), weights)


def unfold_conv(source: Tensor, weights: Tensor) -> Tensor:
    """Source (B, C, H + 2r, W + 2r) and weights (B, T, H, W) -> (B, C, H, W); a buffer of C·T·H·W
    elements.
    """
    windows = F.unfold(source, _side(weights)).unflatten(1, (source.shape[1], -1))
    sums = torch.einsum("bctn,btn->bcn", windows, weights.flatten(2))
    return sums.unflatten(2, weights.shape[2:])


def tap_conv(source: Tensor, weights: Tensor) -> Tensor:
    """As :func:`unfold_conv`, without its buffer."""
    (height, width), side = weights.shape[2:], _side(weights)
    out = source.new_zeros(*source.shape[:2], height, width)
    for tap in range(side * side):
        i, j = divmod(tap, side)
        out.addcmul_(source[:, :, i : i + height, j : j + width], weights[:, tap, None])
    return out


def operator_conv(source: Tensor, weights: Tensor) -> Tensor:
    """As :func:`unfold_conv`, by our operator with one filter per pixel of its input."""
    side = _side(weights)
    filters = weights.movedim(1, 3).unflatten(3, (side, side)).contiguous()
    return adaptive_conv(source, filters)


def _enlarged(level: JBULevel, maps: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C, f·h + 2r, f·w + 2r)."""
    maps = F.interpolate(maps, scale_factor=level.factor, mode="bicubic", align_corners=False)
    return F.pad(maps, (level.radius,) * 4, mode="reflect")


def _weights(
    level: JBULevel, guidance: Tensor, dots: Callable[[Tensor, Tensor, int], Tensor]
) -> Tensor:
    """(B, T, H, W)."""
    keys = level.keys(guidance)
    padded = F.pad(keys, (level.radius,) * 4, mode="reflect")
    offsets = torch.linspace(-1, 1, 2 * level.radius + 1, device=keys.device) ** 2
    spatial = torch.exp((offsets[:, None] + offsets).flatten() / (-2 * level.sigma_spatial**2))
    likeness = level.range_temp.exp() * dots(keys, padded, 2 * level.radius + 1)
    weights = likeness.softmax(1) * spatial[:, None, None]
    weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-7)
    return weights + 0.1 * level.fixup_proj(torch.cat([weights, guidance], 1))


def _unfold_dots(keys: Tensor, padded: Tensor, side: int) -> Tensor:
    """Dot products (B, T, H, W) of every pixel's range feature with those of its window."""
    windows = F.unfold(padded, side).unflatten(1, (keys.shape[1], -1))
    return torch.einsum("bdtn,bdn->btn", windows, keys.flatten(2)).unflatten(2, keys.shape[2:])


def _tap_dots(keys: Tensor, padded: Tensor, side: int) -> Tensor:
    """As :func:`_unfold_dots`."""
    height, width = keys.shape[2:]
    dots = []
    for tap in range(side * side):
        i, j = divmod(tap, side)
        dots.append((keys * padded[:, :, i : i + height, j : j + width]).sum(1))
    return torch.stack(dots, 1)


def _side(weights: Tensor) -> int:
    return round(weights.shape[1] ** 0.5)
