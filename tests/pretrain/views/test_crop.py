"""Crops: their distribution against torchvision's, and geometry against the pixels themselves."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import RandomResizedCrop

from pretrain import geometry
from pretrain.data.decode import decode
from pretrain.views import crop as module
from pretrain.views.crop import Crop, decode_scale, sample_crop

SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def ramp_image(height: int, width: int) -> np.ndarray:
    """Red is 255·x and green 255·y of each pixel's centre in the unit square; blue is red,
    mirrored.
    """
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.rint(255 * np.stack([x, y, 1 - x], -1)).astype(np.uint8)


def ramp_errors(view: torch.Tensor, maps: torch.Tensor, margin: int = 4) -> torch.Tensor:
    """Pixel value − value at the place that geometry names, in levels, without the borders, where
    the filter is cut."""
    height, width = view.shape[1:]
    centres = geometry.cell_centres(maps[None], (height, width))[0].reshape(height, width, 2)
    expected = 255 * torch.stack([centres[..., 0], centres[..., 1], 1 - centres[..., 0]])
    return (view.double() - expected)[:, margin:-margin, margin:-margin]


def cut(
    image: np.ndarray, crop: Crop, *, source: tuple[int, int], size: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The view and its geometry (2, 3)."""
    view, box = module.cut(image, crop, source=source, size=size)
    return view, geometry.from_box(torch.tensor(box, dtype=torch.float64))


def jpeg(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=100, subsampling=0)
    return buffer.getvalue()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "crop", [(0, 0, 45, 60), (5, 12, 17, 23), (20, 3, 25, 40), (10, 30, 20, 11)]
)
def test_every_view_pixel_shows_the_place_that_geometry_names(
    crop: tuple[int, ...], flip: bool
) -> None:
    # 255 levels over 60 pixels: one level is a quarter of a source pixel, an off-by-one of half a
    # pixel shows.
    view, maps = cut(ramp_image(45, 60), Crop(*crop, flip=flip), source=(45, 60), size=(32, 40))
    assert ramp_errors(view, maps).abs().max() < 1.1
    wrong_way = geometry.compose(maps, geometry.from_box(torch.tensor([1.0, 0.0, 0.0, 1.0])))
    assert ramp_errors(view, wrong_way).abs().max() > 20


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(91, 123), (97, 130), (101, 83)])
@pytest.mark.parametrize("least", [0.5, 0.25])
def test_geometry_holds_on_a_scaled_decode(size: tuple[int, int], least: float, flip: bool) -> None:
    image = decode(jpeg(ramp_image(*size)), (int(size[0] * least), int(size[1] * least)))
    assert image.shape[0] < size[0], "the decoder did not scale: the test would be void"
    for crop in [
        Crop(0, 0, *size, flip),
        Crop(7, 13, 61, 58, flip),
        Crop(size[0] - 60, size[1] - 60, 60, 60, flip),
    ]:
        view, maps = cut(image, crop, source=size, size=(24, 24))
        errors = ramp_errors(view, maps)
        # Reduced transforms ripple within each 8 × 8 block, by about a level on a ramp. A wrong
        # offset or scale is what a straight line through the errors shows: 1.6 levels and more at
        # the far edge if the rounding up of the decoded size were ignored.
        for profile in (errors[0].mean(0), errors[1].mean(1)):
            line = np.polynomial.Polynomial.fit(np.arange(len(profile)), profile.numpy(), 1)
            assert max(abs(line(0)), abs(line(len(profile) - 1))) < 0.8


def test_scaled_decode_stays_within_half_a_pixel_of_the_planned_crop() -> None:
    size, crop = (200, 300), Crop(33, 55, 101, 97, True)
    full = cut(ramp_image(*size), crop, source=size, size=(16, 16))[1]
    half = cut(decode(jpeg(ramp_image(*size)), (100, 150)), crop, source=size, size=(16, 16))[1]
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    moved = (geometry.apply(full, corners) - geometry.apply(half, corners)).abs() * torch.tensor(
        [300.0, 200.0]
    )
    assert moved.max() <= 1.0 + 1e-9  # half a decoded pixel is one source pixel


def test_full_image_crop_is_the_identity_and_box_is_by_pixel_area() -> None:
    image = ramp_image(20, 30)
    view, maps = cut(image, Crop(0, 0, 20, 30), source=(20, 30), size=(20, 30))
    assert torch.equal(view.permute(1, 2, 0), torch.from_numpy(image))
    assert torch.equal(maps, geometry.identity())
    maps = cut(image, Crop(5, 6, 10, 12), source=(20, 30), size=(8, 8))[1]
    box = torch.tensor([6 / 30, 5 / 20, 18 / 30, 15 / 20], dtype=torch.float64)
    torch.testing.assert_close(maps, geometry.from_box(box))


def test_resize_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    view, _ = cut(stripes, Crop(0, 0, 64, 64), source=(64, 64), size=(16, 16))
    assert (
        view.float() - 127.5
    ).abs().max() < 12  # a plain bilinear filter would give 0, 255 or a beat


def test_decode_scale_knows_jpeg_eighths_and_refuses_other_images() -> None:
    assert decode_scale((91, 123), (46, 62)) == (0.5, 0.5)
    assert decode_scale((91, 123), (91, 123)) == (1.0, 1.0)
    assert decode_scale((90, 120), (30, 40)) == pytest.approx((1 / 3, 1 / 3))
    with pytest.raises(ValueError, match="123.*source that the plan was drawn for"):
        decode_scale((91, 123), (62, 46))


def draw(count: int, height: int, width: int, **settings_: object) -> np.ndarray:
    """(count, 5) top, left, height, width, flip."""
    rng = np.random.default_rng(0)
    options = dict(scale=SCALE, ratio=RATIO, flip=0.5) | settings_
    crops = [sample_crop(height, width, rng=rng, **options) for _ in range(count)]
    return np.array([(c.top, c.left, c.height, c.width, c.flip) for c in crops])


def test_crop_statistics_are_torchvisions() -> None:
    height, width, count = 375, 500, 4000
    ours = draw(count, height, width)
    torch.manual_seed(0)
    blank = torch.empty(3, height, width)
    theirs = np.array([RandomResizedCrop.get_params(blank, SCALE, RATIO) for _ in range(count)])
    for name, quantity in {
        "area": lambda c: c[:, 2] * c[:, 3] / (height * width),
        "aspect": lambda c: np.log(c[:, 3] / c[:, 2]),
        "top": lambda c: c[:, 0] / (height - c[:, 2] + 1),
        "left": lambda c: c[:, 1] / (width - c[:, 3] + 1),
    }.items():
        a, b = quantity(ours), quantity(theirs)
        error = np.sqrt((a.var() + b.var()) / count)
        assert abs(a.mean() - b.mean()) < 4 * error, name
        assert abs(a.std() - b.std()) < 4 * error, name
        for q in (0.05, 0.5, 0.95):
            assert abs(np.quantile(a, q) - np.quantile(b, q)) < 0.04, (name, q)
    assert abs(ours[:, 4].mean() - 0.5) < 4 * 0.5 / np.sqrt(count)


def test_area_is_uniform_where_every_draw_fits() -> None:
    crops = draw(4000, 400, 400, ratio=(1.0, 1.0), scale=(0.25, 0.81))
    area = np.sort(crops[:, 2] * crops[:, 3] / 400**2)
    uniform = np.linspace(0.25, 0.81, len(area))
    # Kolmogorov-Smirnov at 0.1 %, and the rounding to whole pixels.
    assert np.abs(area - uniform).max() < 0.56 * 1.95 / np.sqrt(4000) + 0.003
    assert (
        draw(50, 400, 400, flip=0.0)[:, 4].max() == 0
        and draw(50, 400, 400, flip=1.0)[:, 4].min() == 1
    )


@pytest.mark.parametrize("height, width", [(10, 1000), (1000, 10), (40, 60)])
def test_fallback_is_torchvisions_centred_crop(height: int, width: int) -> None:
    options = dict(scale=(0.95, 1.0), ratio=(0.99, 1.01))  # no draw of this area and aspect fits
    ours = draw(1, height, width, **options)[0, :4]
    blank = torch.empty(3, height, width)
    assert tuple(ours) == RandomResizedCrop.get_params(
        blank, list(options["scale"]), list(options["ratio"])
    )


def test_smallest_images_have_a_crop() -> None:
    assert tuple(draw(1, 1, 1, scale=(0.01, 0.02))[0, :4]) == (0, 0, 1, 1)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 700), st.integers(1, 700), st.floats(0.01, 1.0), st.integers(0, 2**32))
def test_crops_lie_inside_and_take_a_fixed_number_of_draws(
    height: int, width: int, low: float, seed: int
) -> None:
    rng, counter = np.random.default_rng(seed), np.random.default_rng(seed)
    crop = sample_crop(height, width, scale=(low, 1.0), ratio=RATIO, flip=0.5, rng=rng)
    assert 0 <= crop.top and crop.top + crop.height <= height and crop.height >= 1
    assert 0 <= crop.left and crop.left + crop.width <= width and crop.width >= 1
    counter.random(23)
    assert rng.random() == counter.random()
