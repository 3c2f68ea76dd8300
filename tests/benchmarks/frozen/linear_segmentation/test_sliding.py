"""Windows: values computed by DINOv2's own ``slide_inference`` (test vector V1 of the presets), the
loop that it stands for, and what every rule must keep.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.frozen.linear_segmentation import sliding
from benchmarks.frozen.linear_segmentation.sliding import (
    Window,
    largest_class,
    resize,
    slide,
    window_starts,
    windows_of,
)
from benchmarks.frozen.linear_segmentation.views import kept_ratio

# The argmax of V1 at the image's size, and bilinearly at 10 × 12, ties to the lower class.
ARGMAX = "10110111 01001101 00110010 01000001 00100010"
RESIZED = """110111001111 110111001111 111011111111 001001111111 000111001110 000111000110
    001000000011 001000000011 000100000110 000100000110"""


def v1_image() -> torch.Tensor:
    i, j = torch.meshgrid(torch.arange(5), torch.arange(8), indexing="ij")
    return ((3 * i + 5 * j) % 7).double()[None]


def v1_scores(image: torch.Tensor, windows: list[Window]) -> torch.Tensor:
    parts = []
    for window in windows:
        x = window.of(image)[0]
        i, j = torch.meshgrid(*map(torch.arange, x.shape), indexing="ij")
        parts.append(torch.stack([x + i, x.mean() + j]))
    return torch.stack(parts)


@pytest.mark.parametrize("at_once", [1, 4, 6])
def test_v1(at_once: int) -> None:
    image = v1_image()
    windows = windows_of((5, 8), (4, 4), 3)
    assert [w[:2] for w in windows] == [(0, 0), (0, 3), (0, 4), (1, 0), (1, 3), (1, 4)]
    seen = torch.zeros(5, 8)
    for window in windows:
        window.of(seen).add_(1)
    assert seen[[0, 4]].tolist() == [[1, 1, 1, 2, 2, 2, 2, 1]] * 2
    assert seen[1:4].tolist() == [[2, 2, 2, 4, 4, 4, 4, 2]] * 3
    scores = slide((5, 8), windows, lambda part: v1_scores(image, part), at_once=at_once)
    exact = dict(rtol=0, atol=1e-12)
    expected = {
        (0, 0): [0, 5, 3, 1, 6, 4, 2, 0],
        (0, 1): [3.5, 1.5, 6.5, 4.5, 2.5, 0.5, 5.5, 3.5],
        (0, 4): [8, 6, 4, 9, 7, 5, 3, 8],
        (1, 0): [2.8125, 3.8125, 4.8125, 4.375, 3.53125, 4.53125, 5.53125, 6.125],
        (1, 2): [3, 4, 5, 4.453125, 3.5, 4.5, 5.5, 6.09375],
    }
    for (channel, row), values in expected.items():
        torch.testing.assert_close(
            scores[channel, row], torch.tensor(values, dtype=torch.float64), **exact
        )

    def digits(classes: torch.Tensor) -> list[str]:
        return ["".join(map(str, row)) for row in classes.tolist()]

    assert digits(largest_class(scores, (5, 8))) == ARGMAX.split()
    assert digits(largest_class(scores, (10, 12))) == RESIZED.split()
    rows, columns = torch.arange(10) // 2, torch.arange(12) * 8 // 12
    nearest = scores.argmax(0)[rows][:, columns]
    assert int((nearest != largest_class(scores, (10, 12))).sum()) == 14


@pytest.mark.parametrize(
    ("length", "starts"),
    [
        (512, [0]),
        (513, [0, 1]),
        (683, [0, 171]),
        (684, [0, 172]),
        (768, [0, 256]),
        (853, [0, 341]),
        (854, [0, 341, 342]),
        (1024, [0, 341, 512]),
    ],
)
def test_starts_of_v1(length: int, starts: list[int]) -> None:
    assert window_starts(length, 512, 341) == starts


@pytest.mark.parametrize("small", sliding.SMALL)
def test_windows_cover_every_pixel_and_read_nothing_outside(small: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        height, width, tall, wide, stride = rng.integers(1, 24, 5).tolist()
        windows = windows_of((height, width), (tall, wide), min(stride, tall, wide), small=small)
        seen = torch.zeros(height, width)
        for window in windows:
            assert window.top >= 0 and window.top + window.height <= height
            assert window.left >= 0 and window.left + window.width <= width
            assert (window.height, window.width) == windows[0][2:]
            window.of(seen).add_(1)
        assert seen.min() >= 1
    assert windows_of((30, 9), (16, 16), 0) == [(0, 0, 30, 9)]


def test_small_images_get_one_window_or_square_ones() -> None:
    assert windows_of((10, 30), (16, 16), 12) == [(0, 0, 10, 16), (0, 12, 10, 16), (0, 14, 10, 16)]
    assert windows_of((6, 9), (16, 16), 4) == [(0, 0, 6, 9)]
    square = windows_of((6, 9), (16, 16), 4, small="square")
    assert square == [(0, 0, 6, 6), (0, 3, 6, 6)]
    assert windows_of((6, 20), (16, 16), 12, small="square") == windows_of((6, 20), (16, 16), 12)


def test_what_looks_at_single_pixels_predicts_the_same_in_windows() -> None:
    image = torch.rand(3, 23, 31, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def scores_of(windows: list[Window]) -> torch.Tensor:
        return torch.stack([window.of(image).square() for window in windows])

    whole = slide((23, 31), windows_of((23, 31), (8, 8), 0), scores_of, at_once=4)
    parts = slide((23, 31), windows_of((23, 31), (8, 8), 5), scores_of, at_once=4)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-15)


def test_few_classes_at_a_time_are_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = torch.randn(7, 5, 6, generator=torch.Generator().manual_seed(0)).round()
    expected = resize(scores[None], (11, 13))[0].argmax(0)
    monkeypatch.setattr(sliding, "_PIECE_BYTES", 4 * 11 * 13 * 2)
    assert torch.equal(largest_class(scores, (11, 13)), expected)
    assert largest_class(torch.zeros(7, 2, 2), (3, 3)).sum() == 0  # ties: the lowest


def test_kept_ratio() -> None:
    assert kept_ratio((480, 640), 512) == (512, 683)
    assert kept_ratio((480, 640), 512, rounding="down") == (512, 682)
    assert kept_ratio((500, 3000), 512, 2048) == (341, 2048)
    assert kept_ratio((640, 480), 512, 2048) == (683, 512)
    assert kept_ratio((3, 2000), 1) == (1, 667) and kept_ratio((2000, 1), 4, 100) == (100, 1)
    rng = np.random.default_rng(0)
    for height, width, short in rng.integers(1, 700, (200, 3)).tolist():
        rounded = kept_ratio((height, width), short)
        for side, new in zip((height, width), rounded, strict=True):
            assert new == max(1, int(np.floor(side * short / min(height, width) + 0.5)))
