"""A region in pixels: what is decoded and cut out, and where it lies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pretrain.data.pixel_box import PixelBox


@pytest.mark.parametrize("eighths", range(1, 9))
def test_region_of_a_scaled_image_is_placed_exactly(eighths: int) -> None:
    """Decoded pixel j lies at (j + 0.5)·8/k px of the full image; the cut and its shift say the
    same.
    """
    rng = np.random.default_rng(eighths)
    for _ in range(200):
        height, width = rng.integers(8, 200, 2).tolist()
        x1, x2, y1, y2 = *np.sort(rng.random(2)), *np.sort(rng.random(2))
        region = PixelBox.of((x1, y1, x2, y2), (height, width))
        assert (
            abs(region.left - x1 * width) <= 1.5
            and abs(region.top + region.height - y2 * height) <= 1.5
        )
        shape = tuple(-(-n * eighths // 8) for n in (height, width))
        if [s for s in range(1, 9) if tuple(-(-n * s // 8) for n in (height, width)) == shape] != [
            eighths
        ]:
            continue  # too small to tell the scale
        rows, columns = np.indices(shape)
        cut, (right, down) = region.cut(np.stack([columns, rows, rows], -1))
        assert cut.shape[:2] == (
            math.ceil(region.height * eighths / 8),
            math.ceil(region.width * eighths / 8),
        )
        for j, start, length, shift in (
            (cut[0, 0, 0], region.left, region.width, right),
            (cut[0, 0, 1], region.top, region.height, down),
        ):
            # the first pixel, as a view's map places it in the region, and as the decoder places it
            # in the image
            assert start + (0.5 / (length * eighths / 8) + shift) * length == pytest.approx(
                (j + 0.5) * 8 / eighths
            )
            assert abs(shift * length * eighths / 8) <= 1 and (eighths < 8 or shift == 0)


def test_regions_have_at_least_one_pixel_and_enough_after_decoding() -> None:
    assert PixelBox.of((0.999, 0.0, 0.9991, 1e-9), (10, 10)) == PixelBox((10, 10), 0, 9, 1, 1)
    assert PixelBox.of(None, (7, 9)) == PixelBox((7, 9), 0, 0, 7, 9)
    region = PixelBox((400, 600), 10, 20, 100, 300)
    assert region.decode_size((50, 75)) == (200, 300) and region.decode_size((100, 300)) == (
        400,
        600,
    )
    assert PixelBox.of(None, (7, 9)).decode_size((3, 5)) == (3, 5)
