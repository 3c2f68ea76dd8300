"""Learned joint bilateral upsampling: levels that filter with weights computed from the image.

FeatUp (Fu et al., ICLR 2024, arXiv 2403.10516), section 3 and its code; parameter names are those
of that code, so that published weights load (:mod:`benchmarks.weights.featup`). Axes: B
images, C channels, h × w grid of the features, f factor of a level, T = (2r+1)² taps, K side of a
filter on the low-resolution grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor, nn

from heads.precision import full_precision, no_autocast
from heads.upsamplers.base import LinearUpsampler
from heads.upsamplers.guidance import pooled
from heads.upsamplers.operators import MOST_RADIUS, adaptive_conv, jbu_filters
from heads.upsamplers.resizing import bands, low_radius

_TEMPERATURES = (1e-4, 1e4)  # where the published code clamps e^ρ
_SMALLEST_SIGMA = (
    1e-3  # σ = 0 would divide 0 by 0; long before, the kernel is one tap and σ has no gradient left
)


class JBULevel(nn.Module):
    """One level: every high-resolution pixel filters the low-resolution map with weights of its
    own.

        k = A₂·dropout(GELU(A₁·g + a₁)) + a₂   range features of the guidance g, dropout 0.1
        s = softmax over offsets q of e^ρ·⟨k_p, k_{p+q}⟩ − ‖q/r‖²/2σ²
        W = s + 0.1·(M₂·dropout(GELU(M₁·[s; g] + m₁)) + m₂)   fix-up: need not sum to 1
        y = Σ_q W_q · bicubic(F)_{p+q}                            reflected at the borders

    The resize never happens: it is folded into the filters, which then read the low-resolution map
    (equal up to rounding). ρ starts at 0 and σ at 1, the 1×1 convolutions as torch's do. 6,233
    parameters at the defaults.

    Args:
        factor: f ≥ 1, any integer.
        radius: r of the filter, in pixels of the enlarged map, at most 5.
        key_dim: D, width of the range features.
    """

    def __init__(self, factor: int = 2, radius: int = 3, key_dim: int = 32) -> None:
        super().__init__()
        self.factor, self.radius, self.taps = factor, radius, (2 * radius + 1) ** 2
        self.range_temp = nn.Parameter(torch.zeros(()))
        self.sigma_spatial = nn.Parameter(torch.ones(()))
        self.range_proj = _two_layers(3, key_dim)
        self.fixup_proj = _two_layers(self.taps + 3, self.taps)

    @property
    def low_radius(self) -> int:
        """How many cells of the features a filter reaches to either side; K = 2·low_radius + 1."""
        return low_radius(self.factor, self.radius)

    def filters(self, guidance: Tensor) -> Tensor:
        """Computes the filters of a level from the image alone, whatever the features.

        Args:
            guidance: (B, 3, f·h, f·w), the image at the level's output size.

        Returns:
            (B, f·h, f·w, K, K) in the parameters' precision, at least float32 (half precisions
            spoil the softmax).
        """
        guidance = guidance.to(full_precision(self.range_temp).dtype)
        with no_autocast(guidance):
            grid = guidance.shape[-2] // self.factor, guidance.shape[-1] // self.factor
            first, second = self.fixup_proj[0], self.fixup_proj[3]
            parameters = (
                first.weight.flatten(1),
                first.bias,
                second.weight.flatten(1),
                second.bias,
            )
            return jbu_filters(
                F.pad(self.keys(guidance), (self.radius,) * 4, mode="reflect"),
                full_precision(self.range_temp).exp().clamp(*_TEMPERATURES),
                full_precision(self.sigma_spatial).abs().clamp(min=_SMALLEST_SIGMA),
                radius=self.radius,
                guidance=guidance,
                fixup=tuple(full_precision(p) for p in parameters),
                keep=self._keep(guidance),
                bands=bands(grid, guidance, factor=self.factor, radius=self.radius),
            )

    def keys(self, guidance: Tensor) -> Tensor:
        """Range features (B, D, H, W) of a guidance (B, 3, H, W), not yet padded."""
        first, _, dropout, second = self.range_proj
        hidden = F.gelu(
            F.conv2d(guidance, full_precision(first.weight), full_precision(first.bias))
        )
        return F.conv2d(dropout(hidden), full_precision(second.weight), full_precision(second.bias))

    def _keep(self, guidance: Tensor) -> Tensor | None:
        """Which channels of the fix-up this step keeps, (B, T) of 0 and 1 / 0.9; None outside
        training.
        """
        if not self.training:
            return None
        return self.fixup_proj[2](guidance.new_ones(len(guidance), self.taps, 1, 1)).flatten(1)

    def spread(self, filters: Tensor, maps: Tensor, bias: Tensor | None = None) -> Tensor:
        """Applies :meth:`filters` to maps (B, K, h, w) of any K, adds bias (K,): (B, K, f·h, f·w),
        dtype of maps.
        """
        bias = None if bias is None else bias.to(maps.dtype)
        return adaptive_conv(
            maps,
            filters.to(maps.dtype),
            factor=self.factor,
            padding=self.low_radius,
            bias=bias,
        )

    def forward(self, maps: Tensor, guidance: Tensor) -> Tensor:
        """(B, C, h, w) and the image (B, 3, f·h, f·w) -> (B, C, f·h, f·w)."""
        return self.spread(self.filters(guidance), maps)


@MODELS.register_module()
class JBUStack(LinearUpsampler):
    """Levels with weights of their own until the grid is ``factor`` times finer, then a channel
    mixing.

        Y = level_n(… level_1(F, g_1) …, g_n),    out = Y + 0.1·(A·dropout(Y) + a)

    g_i is the image averaged over the cells of level i's output. Mixing commutes with levels that
    treat all channels alike, so A is applied on the low-resolution grid (256 times less work for a
    factor of 16; exact, dropout included). Levels take the prime factors of ``factor`` in ascending
    order: the fewest pixels to filter. An output of another size than factor·(h, w) is resized
    bilinearly at the end. One set of weights per backbone.

    Args:
        channels: C of the features.
        factor: high-resolution pixels per cell and axis, any integer ≥ 2: the backbone's stride, as
            a rule.
        radius: see :class:`JBULevel`.
        key_dim: see :class:`JBULevel`.
        norm: LayerNorm over channels (eps 1e-5) before all else. What comes out is of the
            normalised space and is trained and measured against normalised features
            (:meth:`reference`), as in FeatUp's script; nothing can be folded (``foldable`` is
            False). Its scale and shift stay 1 and 0, as there: a trained scale would shrink the
            target with the residual. A file may bring others.

    Raises:
        ValueError: channels, radius or key_dim below 1, radius above 5, factor below 2.
    """

    kind, source = "jbu", "trained"

    def __init__(
        self,
        channels: int,
        factor: int = 16,
        *,
        radius: int = 3,
        key_dim: int = 32,
        norm: bool = False,
    ) -> None:
        super().__init__(
            channels=channels, factor=factor, radius=radius, key_dim=key_dim, norm=norm
        )
        for name, value in dict(channels=channels, radius=radius, key_dim=key_dim).items():
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if radius > MOST_RADIUS:
            raise ValueError(f"radius={radius} must be at most {MOST_RADIUS}")
        self.channels, self.factor = channels, factor
        self.factors = prime_factors(factor)
        for index, prime in enumerate(self.factors, 1):
            self.add_module(f"up{index}", JBULevel(prime, radius, key_dim))
        self.norm = nn.LayerNorm(channels).requires_grad_(False) if norm else None
        self.fixup_proj = nn.Sequential(nn.Dropout2d(0.2), nn.Conv2d(channels, channels, 1))
        self.foldable = not norm

    @property
    def levels(self) -> list[JBULevel]:
        """The levels, coarsest first."""
        return [getattr(self, f"up{index}") for index in range(1, len(self.factors) + 1)]

    def filters(
        self, image: Tensor, grid: tuple[int, int], output_size: tuple[int, int]
    ) -> tuple[Tensor, ...]:
        """Filters of every level, see :meth:`JBULevel.filters`; independent of the features and of
        ``output_size``.

        Raises:
            ValueError: a grid so small that a filter cannot be reflected at its borders.
        """
        first = self.levels[0]
        if min(grid) * first.factor <= first.radius:
            raise ValueError(
                f"grid={tuple(grid)}: its smaller side times {first.factor} must exceed "
                f"radius={first.radius}; give larger images or a smaller radius"
            )
        filters = []
        for level in self.levels:
            grid = (grid[0] * level.factor, grid[1] * level.factor)
            filters.append(level.filters(pooled(image, grid)))
        return tuple(filters)

    def spread(
        self,
        filters: tuple[Tensor, ...],
        maps: Tensor,
        output_size: tuple[int, int],
        bias: Tensor | None = None,
    ) -> Tensor:
        """See :class:`LinearUpsampler`; ``bias`` (K,) is added by the last level, at no cost."""
        biases = [None] * (len(self.levels) - 1) + [bias]
        for level, own, constant in zip(self.levels, filters, biases, strict=True):
            maps = level.spread(own, maps, constant)
        if tuple(maps.shape[-2:]) == tuple(output_size):
            return maps
        return F.interpolate(maps, size=tuple(output_size), mode="bilinear", align_corners=False)

    def channel_map(self) -> tuple[Tensor, Tensor]:
        """I + 0.1·A (C, C) and 0.1·a (C,); dropout is left out, as in eval mode."""
        conv = self.fixup_proj[1]
        identity = torch.eye(self.channels, dtype=conv.weight.dtype, device=conv.weight.device)
        return identity + 0.1 * conv.weight.flatten(1), 0.1 * conv.bias

    def reference(self, features: Tensor) -> Tensor:
        """See :class:`heads.upsamplers.base.Upsampler`: behind the LayerNorm, where there is
        one."""
        if self.norm is None:
            return features
        scale, shift = self.norm.weight.to(features.dtype), self.norm.bias.to(features.dtype)
        rows = F.layer_norm(features.movedim(1, 3), (self.channels,), scale, shift, self.norm.eps)
        return rows.to(features.dtype).movedim(3, 1)

    @property
    def normalises(self) -> bool:
        """See :class:`heads.upsamplers.base.Upsampler`."""
        return self.norm is not None

    def mix(self, features: Tensor) -> Tensor:
        """See :class:`LinearUpsampler`; with the LayerNorm where there is one, and with dropout in
        training.

        Raises:
            ValueError: features of another width than ``channels``.
        """
        if features.ndim != 4 or features.shape[1] != self.channels:
            raise ValueError(
                f"features must be (B, {self.channels}, h, w) for channels={self.channels}, "
                f"found {tuple(features.shape)}; an upsampler belongs to the backbone that it "
                "was trained for"
            )
        dropout, conv = self.fixup_proj
        features = self.reference(features)
        return features + 0.1 * F.conv2d(dropout(features), conv.weight.to(features.dtype))

    def finish(
        self, filters: tuple[Tensor, ...], features: Tensor, output_size: tuple[int, int]
    ) -> Tensor:
        """See :class:`LinearUpsampler`."""
        mixed = self.mix(features)
        return self.spread(filters, mixed, output_size, self.channel_map()[1].to(mixed.dtype)).to(
            features.dtype
        )


def prime_factors(number: int) -> tuple[int, ...]:
    """Prime factors in ascending order, with repetition: 14 -> (2, 7), 16 -> (2, 2, 2, 2).

    Raises:
        ValueError: below 2.
    """
    if number < 2:
        raise ValueError(f"factor={number} must be an integer of at least 2")
    primes, prime = [], 2
    while number > 1:
        while number % prime == 0:
            primes.append(prime)
            number //= prime
        prime += 1
    return tuple(primes)


def _two_layers(inputs: int, outputs: int) -> nn.Sequential:
    """1×1 convolution, GELU, channel dropout, 1×1 convolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1), nn.GELU(), nn.Dropout2d(0.1), nn.Conv2d(outputs, outputs, 1)
    )
