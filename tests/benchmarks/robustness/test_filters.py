"""Blurs and warps against slow, obvious forms of what is published."""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from scipy import ndimage

from benchmarks.robustness import filters
from benchmarks.robustness.blur import scattered
from benchmarks.robustness.corruptions import corrupt
from benchmarks.robustness.textures import ice, plasma

Picture = Callable[..., np.ndarray]


def swapped_in_a_loop(image: np.ndarray, steps: np.ndarray, reach: int) -> np.ndarray:
    """The published loop, written as there: its exchange of two views copies."""
    image = image.copy()
    for row in range(image.shape[0] - reach, reach, -1):
        for column in range(image.shape[1] - reach, reach, -1):
            down, right = steps[row - reach - 1, column - reach - 1]
            there = row + down, column + right
            image[row, column], image[there] = image[there], image[row, column]
    return image


@pytest.mark.parametrize("reach", [1, 2, 4])
@pytest.mark.parametrize("shape", [(20, 31), (9, 9), (33, 12)])
def test_scattering_equals_the_loop(reach: int, shape: tuple[int, int], picture: Picture) -> None:
    rng = np.random.default_rng(reach)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    steps = rng.integers(-reach, reach, (shape[0] - 2 * reach, shape[1] - 2 * reach, 2))
    result = scattered(image, steps, reach)
    assert np.array_equal(result, swapped_in_a_loop(image, steps, reach))
    assert steps.size < 10 or not np.array_equal(result, image)


def test_glass_blur_has_the_statistics_of_the_loop(picture: Picture) -> None:
    """Severity 3 at 224 pixels: as far from the picture, on average, as the published procedure."""
    image = picture(224, 224)

    def slow(rng: np.random.Generator) -> np.ndarray:
        blurred = np.uint8(ndimage.gaussian_filter(image / 255, (1, 1, 0), mode="nearest") * 255)
        for _ in range(3):
            blurred = swapped_in_a_loop(blurred, rng.integers(-2, 2, (220, 220, 2)), 2)
        return ndimage.gaussian_filter(blurred / 255, (1, 1, 0), mode="nearest") * 255

    rngs = [np.random.default_rng(seed) for seed in range(3)]
    fast = [
        np.abs(corrupt(image, "glass_blur", 3, rng).astype(float) - image).mean() for rng in rngs
    ]
    assert fast == pytest.approx([np.abs(slow(rngs[0]) - image).mean()] * 3, rel=0.03)


def test_gaussian_is_scipys() -> None:
    image = np.random.default_rng(0).random((30, 41, 3)).astype(np.float32)
    for sigma in (0.05, 0.7, 1.5):
        expected = ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest", truncate=4)
        assert np.abs(filters.gaussian(image, sigma) - expected).max() < 1e-5


@pytest.mark.parametrize(
    ("radius", "smoothing"), [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)]
)
def test_disc(radius: int, smoothing: float) -> None:
    """At scale 1 the published kernel but for its rim; smaller and larger ones have the same spread
    in proportion.
    """
    reach = max(8, radius)
    places = np.arange(-reach, reach + 1)
    published = (places[:, None] ** 2 + places**2 <= radius**2).astype(np.float32)
    published = cv2.GaussianBlur(
        published / published.sum(), (3, 3) if radius <= 8 else (5, 5), smoothing
    )
    ours = filters.disc(radius, smoothing, 1.0)
    middle = len(ours) // 2
    cut = (
        ours[middle - reach : middle + reach + 1, middle - reach : middle + reach + 1]
        if middle >= reach
        else None
    )
    if cut is None:
        cut = np.pad(ours, reach - middle)
    assert np.abs(cut - published).max() < 0.15 / (math.pi * radius**2)
    spread = [
        kernel_spread(filters.disc(radius, smoothing, scale)) / scale for scale in (0.5, 1.0, 2.0)
    ]
    assert spread == pytest.approx([spread[1]] * 3, rel=0.2)
    assert filters.disc(radius, smoothing, 0.3).sum() == pytest.approx(1, abs=1e-5)


def kernel_spread(kernel: np.ndarray) -> float:
    places = np.arange(len(kernel)) - len(kernel) // 2
    return math.sqrt((kernel * (places[:, None] ** 2 + places**2)).sum())


@pytest.mark.parametrize("angle", [0.0, 33.0, -45.0, -90.0, -120.0])
def test_motion_blur_is_a_sum_along_a_line(angle: float) -> None:
    image = np.random.default_rng(0).random((14, 17)).astype(np.float32)
    radius, sigma = 4, 2.5
    weights = np.exp(-(np.arange(9) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    expected = np.zeros_like(image)
    for y in range(14):
        for x in range(17):
            for step, weight in enumerate(weights):
                right = math.ceil(step * math.cos(math.radians(angle)) - 0.5)
                down = math.ceil(step * math.sin(math.radians(angle)) - 0.5)
                expected[y, x] += (
                    weight * image[min(13, max(0, y + down)), min(16, max(0, x + right))]
                )
    assert np.abs(filters.motion_blur(image, radius, sigma, angle=angle) - expected).max() < 1e-5


@pytest.mark.parametrize("factor", [1.01, 1.11, 1.3, 3.0])
def test_zoom_is_the_published_one(factor: float) -> None:
    """The middle of a square by scipy's zoom of order 1, trimmed to the middle again."""
    image = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 60, 3)), (1, 1, 0)).astype(
        np.float32
    )
    kept = math.ceil(60 / factor)
    top = (60 - kept) // 2
    zoomed = ndimage.zoom(image[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    trim = (len(zoomed) - 60) // 2
    expected = zoomed[trim : trim + 60, trim : trim + 60]
    assert np.abs(filters.zoom(image, factor) - expected).max() < 0.01
    assert filters.zoom(image[:, :33], factor).shape == (60, 33, 3)


@pytest.mark.parametrize("sigma", [0.3, 2.0, 40.0])
def test_smooth_field_is_scipys_gaussian_of_uniform_noise(sigma: float) -> None:
    result = filters.smooth_field((31, 24), sigma, np.random.default_rng(0))
    noise = np.random.default_rng(0).uniform(-1, 1, (31, 24))
    expected = ndimage.gaussian_filter(noise, sigma, mode="reflect", truncate=3)
    assert np.abs(result - expected).max() < 1e-6


def test_plasma_fills_its_range_and_has_structure_of_every_size() -> None:
    clouds = plasma((256, 256), 2.0, np.random.default_rng(0))
    whole = plasma((224, 224), 2.0, np.random.default_rng(0))
    assert whole.shape == (224, 224) and 0 <= whole.min() < whole.max() <= 1
    smooth, rough = (plasma((224, 224), decay, np.random.default_rng(0)) for decay in (2.0, 1.4))
    assert np.abs(np.diff(rough, axis=0)).mean() > 2 * np.abs(np.diff(smooth, axis=0)).mean()
    assert clouds.shape == (256, 256)


def test_plasma_of_one_draw_has_the_published_amplitudes() -> None:
    """Deviations of new points from the mean of their four neighbours shrink by decay² at each
    doubling.
    """
    rng = np.random.default_rng(0)
    clouds = plasma((448, 448), 1.5, rng)  # resized from 512: levels below the finest survive
    assert clouds.shape == (448, 448)
    full = np.stack([plasma((224, 224), 1.5, np.random.default_rng(seed)) for seed in range(8)])
    spread = []
    for step in (2, 4):
        centres = full[:, step // 2 :: step, step // 2 :: step][:, :-1, :-1]
        corners = full[:, ::step, ::step]
        corners = corners[:, : centres.shape[1] + 1, : centres.shape[2] + 1]
        mean = (
            corners[:, 1:, 1:] + corners[:, 1:, :-1] + corners[:, :-1, 1:] + corners[:, :-1, :-1]
        ) / 4
        spread.append(np.std(centres[:, : mean.shape[1], : mean.shape[2]] - mean))
    assert spread[1] / spread[0] == pytest.approx(1.5**2, rel=0.05)


def test_ice_has_clear_and_white_parts_at_any_size() -> None:
    for shape, scale in (((224, 224), 1.0), ((300, 450), 300 / 224)):
        texture = ice(shape, scale, np.random.default_rng(0))
        assert texture.shape == (*shape, 3) and texture.min() >= 0 and texture.max() <= 1
        assert np.quantile(texture, 0.1) < 0.15 and np.quantile(texture, 0.9) > 0.6


def test_elastic_transform_moves_but_does_not_recolour(picture: Picture) -> None:
    """Positions as colours: a small local move at severity 3, tens of pixels at severity 2."""
    ramp = np.zeros((224, 224, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = np.arange(224), np.arange(224)[:, None]
    moves = {}
    for severity in (2, 3, 5):
        result = corrupt(ramp, "elastic_transform", severity, np.random.default_rng(1)).astype(
            float
        )
        moves[severity] = np.abs(result - ramp)[60:-60, 60:-60].mean()
        assert result[..., 2].max() == 0
    assert 0.5 < moves[3] < 6 and moves[5] > moves[3] and moves[2] > 2 * moves[3]
