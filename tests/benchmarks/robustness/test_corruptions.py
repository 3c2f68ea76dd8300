"""All corruptions: shapes, severities, seeds; and closed forms of those that have one."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from benchmarks.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt, generator
from benchmarks.robustness.noise import GAUSSIAN_STD, IMPULSE_SHARE, SHOT_PHOTONS

Picture = Callable[..., np.ndarray]
every_corruption = pytest.mark.parametrize("name", CORRUPTIONS)
# Steps of the published table at which the distance need not grow: fewer passes of glass, other
# flakes, local instead of global warps.
NOT_GROWING = {
    "glass_blur": {(1, 2), (3, 4)},
    "snow": {(2, 3), (4, 5)},
    "elastic_transform": {(2, 3)},
}
OF_PIXELS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "pixelate",
    "jpeg_compression",
)  # or of blocks of them
GLOBAL = (
    "elastic_transform",
)  # severities 1 and 2 move the whole picture, further than 5 moves its parts


def unlike(image: np.ndarray, other: np.ndarray) -> float:
    """Share of the variance of ``image`` that a linear function of ``other`` leaves unexplained."""
    return 1 - np.corrcoef(image.ravel().astype(float), other.ravel().astype(float))[0, 1] ** 2


@every_corruption
def test_grows_with_severity(name: str, picture: Picture) -> None:
    """The mean over pictures, all severities with the same draws."""
    pictures = [picture(224, 224, seed) for seed in range(3)]
    for distance in (unlike, lambda a, b: np.abs(a.astype(float) - b).mean()):
        if distance is not unlike and name in ("frost", "fog"):
            continue  # they darken the picture while they hide it: one shift may undo the other
        means = [
            np.mean(
                [
                    distance(corrupt(p, name, s, np.random.default_rng(i)), p)
                    for i, p in enumerate(pictures)
                ]
            )
            for s in SEVERITIES
        ]
        assert means[0] > 0 and (name in GLOBAL or means[-1] > means[0])
        excused = NOT_GROWING.get(name, ())
        steps = [(s, s + 1) for s in SEVERITIES[:-1] if means[s] <= means[s - 1]]
        assert set(steps) <= set(excused), means


@every_corruption
@pytest.mark.parametrize("shape", [(32, 32), (40, 57), (61, 35), (1, 1), (3, 90), (300, 230)])
def test_any_size(name: str, shape: tuple[int, int], picture: Picture) -> None:
    image = picture(*shape)
    before = image.copy()
    for severity in (1, 5):
        result = corrupt(image, name, severity, generator(0, "a", name, severity))
        assert result.shape == image.shape and result.dtype == np.uint8
        assert not np.shares_memory(result, image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", [n for n in CORRUPTIONS if n not in OF_PIXELS])
def test_lengths_follow_the_size(name: str, picture: Picture) -> None:
    """Corrupting, then halving, is as far from the picture as halving, then corrupting."""
    large = [picture(224, 224, seed) for seed in range(4)]
    small = [np.asarray(Image.fromarray(p).resize((112, 112), Image.Resampling.BOX)) for p in large]
    for severity in (2, 5):
        halved, direct = [], []
        for index, (big, little) in enumerate(zip(large, small, strict=True)):
            corrupted = corrupt(big, name, severity, np.random.default_rng(index))
            reduced = np.asarray(
                Image.fromarray(corrupted).resize((112, 112), Image.Resampling.BOX)
            )
            halved.append(unlike(reduced, little))
            direct.append(
                unlike(corrupt(little, name, severity, np.random.default_rng(index)), little)
            )
        assert np.mean(direct) == pytest.approx(np.mean(halved), rel=0.4, abs=0.01)


@every_corruption
def test_depends_on_the_seed_alone(name: str, picture: Picture) -> None:
    """Any order, any thread: the same pictures."""
    image = picture(48, 40)
    keys = [(str(index), severity) for index in range(3) for severity in (1, 4)]

    def make(key: tuple[str, int]) -> np.ndarray:
        return corrupt(image, name, key[1], generator(0, key[0], name, key[1]))

    forwards = [make(key) for key in keys]
    with ThreadPoolExecutor(3) as pool:
        backwards = list(pool.map(make, keys[::-1]))[::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_generators_differ_in_each_part_of_their_key() -> None:
    keys = [
        (0, "a", "fog", 1),
        (1, "a", "fog", 1),
        (0, "b", "fog", 1),
        (0, "a", "snow", 1),
        (0, "a", "fog", 2),
    ]
    drawn = [generator(*key).random() for key in keys]
    assert len(set(drawn)) == len(keys)
    assert generator(*keys[0]).random() == drawn[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(name="gaussian_blur"), "corruption='gaussian_blur' is not one of"),
        (dict(severity=6), "severity=6 is not one of 1, 2, 3, 4, 5"),
        (
            dict(image=np.zeros((4, 4), np.uint8)),
            r"\(H, W, 3\) uint8 with at least one pixel, found \(4, 4\) uint8",
        ),
        (dict(image=np.zeros((4, 4, 3))), "float64"),
        (dict(image=np.zeros((0, 4, 3), np.uint8)), r"\(0, 4, 3\)"),
    ],
)
def test_mistakes(arguments: dict[str, object], words: str) -> None:
    legal = dict(
        image=np.zeros((4, 4, 3), np.uint8), name="fog", severity=1, rng=np.random.default_rng(0)
    )
    with pytest.raises(ValueError, match=words):
        corrupt(**(legal | arguments))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_published_moments(severity: int) -> None:
    rng = np.random.default_rng(0)
    grey = np.full((300, 300, 3), 102, np.uint8)  # 0.4
    shot = corrupt(grey, "shot_noise", severity, rng) / 255
    photons = SHOT_PHOTONS[severity - 1]
    counts = rng.poisson(0.4 * photons, 400_000).clip(max=photons) / photons  # white cuts them off
    assert (shot.mean(), shot.var()) == pytest.approx((counts.mean(), counts.var()), rel=0.02)
    gaussian = corrupt(grey, "gaussian_noise", severity, rng) / 255
    drawn = (0.4 + GAUSSIAN_STD[severity - 1] * rng.normal(size=400_000)).clip(0, 1)
    assert (gaussian.mean(), gaussian.std()) == pytest.approx((drawn.mean(), drawn.std()), rel=0.02)
    impulse = corrupt(grey, "impulse_noise", severity, rng)
    share = IMPULSE_SHARE[severity - 1]
    assert np.mean(impulse == 0) == pytest.approx(share / 2, rel=0.1)
    assert np.mean(impulse == 255) == pytest.approx(share / 2, rel=0.1)
    assert set(np.unique(impulse)) == {0, 102, 255}


def test_weak_gaussian_noise_is_unbiased_and_of_the_stated_variance() -> None:
    grey = np.full((300, 300, 3), 128, np.uint8)
    noise = corrupt(grey, "gaussian_noise", 1, np.random.default_rng(0)).astype(float) - 128
    assert abs(noise.mean()) < 0.2 and noise.std() == pytest.approx(0.08 * 255, rel=0.01)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_is_a_step_of_the_value_in_hsv(severity: int, picture: Picture) -> None:
    image = picture(8, 9)
    image[0, 0] = 0
    result = corrupt(image, "brightness", severity, np.random.default_rng(0))
    for before, after in zip(image.reshape(-1, 3), result.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + severity / 10))
        assert np.abs(after - 255 * np.array(expected)).max() <= 0.51


@pytest.mark.parametrize(("severity", "kept"), [(1, 0.4), (2, 0.3), (3, 0.2), (4, 0.1), (5, 0.05)])
def test_contrast_shrinks_about_the_mean(severity: int, kept: float, picture: Picture) -> None:
    image = picture(50, 60)
    result = corrupt(image, "contrast", severity, np.random.default_rng(0)).astype(float)
    mean = image.mean((0, 1))
    assert np.abs(result - (mean + kept * (image - mean))).max() <= 0.51
    assert np.abs(result.mean((0, 1)) - mean).max() < 0.2


@pytest.mark.parametrize(("severity", "kept"), [(1, 0.6), (2, 0.5), (3, 0.4), (4, 0.3), (5, 0.25)])
def test_pixelate_is_the_mean_of_boxes(severity: int, kept: float, picture: Picture) -> None:
    image = picture(40, 60)
    height, width = int(40 * kept), int(60 * kept)
    small = np.zeros((height, width, 3))
    for i in range(height):
        for j in range(width):
            # Pillow's box filter takes the pixels whose centres lie in the box, its far edge
            # included.
            rows = [r for r in range(40) if i * 40 / height < r + 0.5 <= (i + 1) * 40 / height]
            columns = [c for c in range(60) if j * 60 / width < c + 0.5 <= (j + 1) * 60 / width]
            small[i, j] = image[np.ix_(rows, columns)].mean((0, 1))
    expected = np.zeros((40, 60, 3))
    for r in range(40):
        for c in range(60):
            expected[r, c] = small[int((r + 0.5) * height / 40), int((c + 0.5) * width / 60)]
    result = corrupt(image, "pixelate", severity, np.random.default_rng(0))
    assert np.abs(result - expected).max() <= 1.01


def test_jpeg_has_the_published_quality(picture: Picture) -> None:
    image = picture(64, 48)
    for severity, quality in zip(SEVERITIES, (25, 18, 15, 10, 7), strict=True):
        packed = io.BytesIO()
        Image.fromarray(image).save(packed, "JPEG", quality=quality)
        result = corrupt(image, "jpeg_compression", severity, np.random.default_rng(0))
        assert np.array_equal(result, np.asarray(Image.open(packed)))


def test_fog_on_black_and_on_grey() -> None:
    """Black: the largest value is 0. Grey x: from x² / (x + t) where there is no cloud to x where
    it is thickest.
    """
    black = np.zeros((224, 224, 3), np.uint8)
    assert corrupt(black, "fog", 3, np.random.default_rng(0)).max() == 0
    result = corrupt(black + 128, "fog", 1, np.random.default_rng(0)) / 255
    grey = 128 / 255
    assert grey**2 / (grey + 1.5) - 0.01 <= result.min() < result.max() <= grey + 0.01
    assert np.ptp(result, axis=2).max() == 0


def test_snow_whitens_and_adds_flakes_symmetrically() -> None:
    """On black, what is left of 1.5 grey + 0.5 and two layers of flakes, one the other turned by
    half a circle.
    """
    result = corrupt(np.zeros((64, 90, 3), np.uint8), "snow", 2, np.random.default_rng(0))
    assert result.min() == round(255 * 0.3 * 0.5)
    assert np.array_equal(result, result[::-1, ::-1])


def test_frost_is_the_weighted_sum() -> None:
    black, grey = (np.full((224, 230, 3), value, np.uint8) for value in (0, 100))
    ice = corrupt(black, "frost", 4, np.random.default_rng(0)).astype(float)
    both = corrupt(grey, "frost", 4, np.random.default_rng(0)).astype(float)
    assert np.abs(both - np.minimum(255, ice + 65)).max() <= 1
    assert 30 < ice.mean() < 130 and ice.std() > 30
