"""Work of feature upsampling by closed formulas: on paper, in units of one small level."""

from __future__ import annotations

import pytest

from benchmarks.speed.roofline import Ceiling, Work
from benchmarks.speed.upsampling_work import FILTER_FLOPS, KEYS, RADIUS, TAPS, Level
from heads.upsamplers.resizing import low_radius

LEVEL = Level(channels=3, side=4, factor=2, size=1)  # one byte per element: bytes are elements
PIXELS, OUT, IN = 64, 3 * 64, 3 * 16
SOURCE = 3 * (8 + 2 * RADIUS) ** 2  # enlarged and padded
SIDE = 2 * low_radius(2, RADIUS) + 1  # of a filter on the grid


def test_the_fused_level_moves_what_any_implementation_must() -> None:
    assert LEVEL.fused() == Work(PIXELS * FILTER_FLOPS + 2 * OUT * SIDE**2, IN + 3 * PIXELS + OUT)


def test_the_fallback_does_the_same_operations_and_moves_more() -> None:
    fallback = LEVEL.fallback()
    assert fallback.flops == LEVEL.fused().flops
    spread = 2 * IN + 2 * SIDE**2 * IN + 3 * SIDE**2 * PIXELS + 3 * OUT
    filters = (4 * KEYS + 15) * TAPS * PIXELS
    assert fallback.bytes == spread + filters
    assert LEVEL.fallback_spread() == spread and LEVEL.fallback_filters() == filters


def test_what_others_do_differs_in_how_windows_are_gathered() -> None:
    enlarging, flops = 2 * OUT + SOURCE, PIXELS * FILTER_FLOPS + 2 * OUT * TAPS
    by_windows = (2 * KEYS + 15) * TAPS * PIXELS  # weights from unfolded range features
    by_taps = (4 * KEYS + 15) * TAPS * PIXELS
    gathers = {
        "unfold": SOURCE + 2 * TAPS * OUT + TAPS * PIXELS + OUT + by_windows,
        "two_step": SOURCE + TAPS * PIXELS + OUT + by_windows,
        "tap_loop": TAPS * (3 * OUT + PIXELS) + by_taps,
    }
    for name, elements in gathers.items():
        assert getattr(LEVEL, name)() == Work(flops, enlarging + elements)


@pytest.mark.parametrize(
    ("how", "elements"),
    [
        ("operator", SOURCE + TAPS * PIXELS + OUT),
        ("taps", TAPS * (3 * OUT + PIXELS)),
        ("unfold", SOURCE + 2 * TAPS * OUT + TAPS * PIXELS + OUT),
    ],
)
def test_the_convolution_alone(how: str, elements: int) -> None:
    assert LEVEL.convolution(how) == Work(2 * TAPS * OUT, elements)


def test_filters_and_their_use_alone() -> None:
    assert LEVEL.spread() == Work(2 * SIDE**2 * OUT, IN + SIDE**2 * PIXELS + OUT)
    projection = 2 * (3 * KEYS + KEYS**2)
    folding = 2 * SIDE * (TAPS + SIDE * (2 * RADIUS + 1))
    flops = PIXELS * (FILTER_FLOPS - projection + folding)
    assert LEVEL.filters() == Work(flops, PIXELS * (KEYS + 3 + SIDE**2))


def test_mixing_costs_less_before_the_level_than_behind_it() -> None:
    low, high = LEVEL.mixing(high=False), LEVEL.mixing(high=True)
    assert low == Work(2 * 9 * 16, 5 * IN) and high == Work(2 * 9 * PIXELS, 5 * OUT)


def test_half_precision_moves_half_the_bytes_and_does_the_same_work() -> None:
    whole, half = Level(8, 4, size=4), Level(8, 4, size=2)
    for name in ("fused", "fallback", "unfold", "two_step", "tap_loop", "spread", "filters"):
        one, other = getattr(whole, name)(), getattr(half, name)()
        assert (one.flops, one.bytes) == (other.flops, 2 * other.bytes)


def test_a_bound_by_memory_and_one_by_operations() -> None:
    ceiling = Ceiling(flops=100.0, bytes=10.0)
    assert ceiling.seconds([Work(50, 40)]) == 4 and ceiling.seconds([Work(500, 40)]) == 5
    assert ceiling.seconds([]) == 0
