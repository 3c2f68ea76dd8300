"""How much work feature upsampling is: floating-point operations and bytes, by closed formulas.

Operations are multiplications and additions of filters and matrix products. Bytes are what an
implementation reads and writes if every tensor operation reads its operands from memory and writes
its result there; for the fused form it is what any implementation must move: features and image in,
features out. Axes: C channels, h × w cells, f factor, N = f²·h·w pixels, T = 49 taps, D = 32 range
channels, r = 3; one image.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.speed.roofline import Work
from heads.upsamplers.resizing import low_radius

RADIUS, TAPS, KEYS = 3, 49, 32
#: Per pixel: range projection, dot products, fix-up.
FILTER_FLOPS = 2 * (3 * KEYS + KEYS**2) + 2 * KEYS * TAPS + 2 * ((TAPS + 3) * TAPS + TAPS**2)
#: Passes over the weights by softmax, spatial kernel, division and fix-up, each an operation of
#: its own.
_PASSES = 15


@dataclass(frozen=True)
class Level:
    """One level of a learned stack on one image, ``size`` bytes per element."""

    channels: int
    side: int  # h = w
    factor: int = 2
    size: int = 4

    @property
    def pixels(self) -> int:
        """N."""
        return (self.factor * self.side) ** 2

    @property
    def _map(self) -> int:
        return self.channels * self.pixels

    @property
    def _source(self) -> int:
        """Elements of the enlarged and padded features."""
        return self.channels * (self.factor * self.side + 2 * RADIUS) ** 2

    def fused(self) -> Work:
        """Ours; also what any implementation needs, so its least time is the level's."""
        side = 2 * low_radius(self.factor, RADIUS) + 1
        flops = self.pixels * (FILTER_FLOPS + 2 * self.channels * side**2)
        return self._work(flops, self.channels * self.side**2 + 3 * self.pixels + self._map)

    def fallback(self) -> Work:
        """Ours in torch's own operations."""
        return Work(self.fused().flops, self.fallback_spread() + self.fallback_filters())

    def fallback_spread(self) -> float:
        """Bytes of ``adaptive_conv``: windows are cut out, filters and results brought into the
        order of cells.
        """
        taps, low = (2 * low_radius(self.factor, RADIUS) + 1) ** 2, self.channels * self.side**2
        return self.size * (2 * low + 2 * taps * low + 3 * taps * self.pixels + 3 * self._map)

    def fallback_filters(self) -> float:
        """Bytes of ``jbu_filters``: a pass over the range features per tap."""
        return self.size * self._tap_weights()

    def tap_loop(self) -> Work:
        """See :mod:`benchmarks.speed.upsampling_baselines`."""
        return self._work(
            self._flops(),
            self._enlarging() + TAPS * (3 * self._map + self.pixels) + self._tap_weights(),
        )

    def unfold(self) -> Work:
        """As :meth:`tap_loop`."""
        gather = self._source + 2 * TAPS * self._map + TAPS * self.pixels + self._map
        return self._work(self._flops(), self._enlarging() + gather + self._unfold_weights())

    def two_step(self) -> Work:
        """As :meth:`tap_loop`."""
        gather = self._source + TAPS * self.pixels + self._map
        return self._work(self._flops(), self._enlarging() + gather + self._unfold_weights())

    def convolution(self, how: str) -> Work:
        """The adaptive convolution alone on enlarged features: ``operator``, ``taps`` or
        ``unfold``.
        """
        moved = {
            "operator": self._source + TAPS * self.pixels + self._map,
            "taps": TAPS * (3 * self._map + self.pixels),
            "unfold": self._source + 2 * TAPS * self._map + TAPS * self.pixels + self._map,
        }
        return self._work(2 * TAPS * self._map, moved[how])

    def spread(self) -> Work:
        """The adaptive convolution alone on the low-resolution features, filters given."""
        taps = (2 * low_radius(self.factor, RADIUS) + 1) ** 2
        return self._work(
            2 * taps * self._map, self.channels * self.side**2 + taps * self.pixels + self._map
        )

    def filters(self) -> Work:
        """The filters alone, range features given: dot products, fix-up, folding of the resize."""
        side, pixels = 2 * low_radius(self.factor, RADIUS) + 1, self.pixels
        folding = 2 * side * (TAPS + side * (2 * RADIUS + 1))
        flops = pixels * (FILTER_FLOPS - 2 * (3 * KEYS + KEYS**2) + folding)
        return self._work(flops, pixels * (KEYS + 3 + side**2))

    def mixing(self, *, high: bool) -> Work:
        """The stack's last 1×1 convolution, on this level's output or on its input."""
        cells = self.pixels if high else self.side**2
        return self._work(2 * self.channels**2 * cells, 5 * self.channels * cells)

    def _flops(self) -> int:
        return self.pixels * (FILTER_FLOPS + 2 * self.channels * TAPS)

    def _enlarging(self) -> int:
        return 2 * self._map + self._source

    def _unfold_weights(self) -> int:
        return (2 * KEYS + _PASSES) * TAPS * self.pixels

    def _tap_weights(self) -> int:
        return (4 * KEYS + _PASSES) * TAPS * self.pixels

    def _work(self, flops: float, elements: float) -> Work:
        return Work(flops, self.size * elements)


def other(name: str, channels: int, *, side: int, output: int, size: int = 4) -> Work:
    """The upsamplers that are no stack, at their defaults: from side² cells to output² pixels."""
    pixels = output**2
    whole, least = channels * pixels, channels * side**2 + 3 * pixels + channels * pixels
    flops, elements = {
        "nearest": (0, least),
        "bilinear": (2 * 4 * whole, least),
        "bicubic": (2 * 16 * whole, least),
        "guided filter": ((4 * 2 * 4 + 3 * 2) * whole, 13 * whole),
        "joint bilateral": (2 * 25 * whole, least + 2 * 25 * pixels),
        "neighbourhood": (
            2 * 81 * whole + 2 * (64 * 81 + 6 * 64**2) * pixels,
            least + 2 * 81 * pixels,
        ),
    }[name]
    return Work(flops, size * elements)
