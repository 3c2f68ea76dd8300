"""Both executors against torchvision with the same parameters, and against each other."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from pretrain.structures import Photometric
from pretrain.views.photometric import (
    Blur,
    Jitter,
    PhotometricSpec,
    Solarise,
    blur_radius,
    none,
    sample,
)
from pretrain.views.photometric_cv2 import apply_cv2
from pretrain.views.photometric_torch import apply_torch

STRONG = PhotometricSpec(
    jitter=Jitter(0.4, 0.4, 0.2, 0.1, p=0.8),
    grey=0.2,
    blur=Blur(0.5, (0.1, 2.0)),
    solarise=Solarise(0.2),
)
STEPS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    reference.adjust_brightness,
    reference.adjust_contrast,
    reference.adjust_saturation,
    reference.adjust_hue,
)


def pictures(count: int, height: int = 48, width: int = 56, seed: int = 0) -> Tensor:
    """(count, 3, height, width) uint8: smooth colours with saturated, black, white and grey
    patches.
    """
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 1.4 - 0.2
    image = (
        F.interpolate(coarse, (height, width), mode="bicubic")
        .clamp(0, 1)
        .mul(255)
        .round()
        .to(torch.uint8)
    )
    image[..., :6, :6], image[..., :6, 6:12], image[..., 6:12, :6] = 0, 255, 128
    image[:, 0, 12:18, :6], image[:, 1:, 12:18, :6] = 255, 0
    return image


def parameters(**values: object) -> Photometric:
    """One image's parameters, neutral but for ``values``."""
    return replace(none(), **{name: torch.as_tensor(value) for name, value in values.items()})


def with_torch(image: Tensor, photometric: Photometric) -> Tensor:
    return apply_torch(image[None], photometric.map(lambda field: field[None]))[0]


def with_cv2(image: Tensor, photometric: Photometric) -> Tensor:
    result = apply_cv2(np.ascontiguousarray(image.permute(1, 2, 0).numpy()), photometric)
    return torch.from_numpy(np.ascontiguousarray(result)).permute(2, 0, 1)


def by_torchvision(image: Tensor, p: Photometric) -> Tensor:
    """The whole chain, one image, torchvision's functions on float."""
    image = image.float() / 255
    factors = [p.brightness.item(), p.contrast.item(), p.saturation.item(), p.hue.item()]
    for step in p.order.tolist():
        if factors[step] != (
            0 if step == 3 else 1
        ):  # a hue shift of 0 would still round through HSV
            image = STEPS[step](image, factors[step])
    if p.grey:
        image = reference.rgb_to_grayscale(image, 3)
    if p.blur_sigma > 0:
        size = 2 * int(blur_radius(p.blur_sigma)) + 1
        image = reference.gaussian_blur(image, [size, size], [p.blur_sigma.item()] * 2)
    return reference.solarize(image, p.solarise.item()) if p.solarise <= 1 else image


@pytest.mark.parametrize(
    "name, value",
    [("brightness", v) for v in (0.0, 0.6, 1.4)]
    + [("contrast", v) for v in (0.0, 0.6, 1.4)]
    + [("saturation", v) for v in (0.0, 0.3, 1.8)]
    + [("hue", v) for v in (-0.5, -0.4, -0.1, 0.05, 0.17, 0.33, 0.5)]
    + [("grey", True), ("solarise", 128 / 255), ("solarise", 0.0), ("solarise", 1.0)]
    + [("blur_sigma", v) for v in (0.1, 0.5, 1.0, 1.7, 2.0)],
)
def test_each_step_is_torchvisions(name: str, value: float) -> None:
    image, p = pictures(1)[0], parameters(**{name: value})
    expected = by_torchvision(image, p)
    assert (expected * 255 - image).abs().max() > 5 or value == 0.1, (
        "the step must do something here"
    )
    torch.testing.assert_close(with_torch(image, p), expected, atol=3e-6, rtol=0)
    # OpenCV returns 8 bits: half a level of rounding, and its fixed-point coefficients of 1/1024.
    assert (with_cv2(image, p) - expected * 255).abs().max() < 1.0


def test_blur_is_the_papers_23_tap_kernel_within_a_level() -> None:
    image = pictures(1)[0]
    for sigma in (0.1, 0.7, 1.3, 2.0):
        expected = reference.gaussian_blur(image.float() / 255, [23, 23], [sigma, sigma])
        assert (with_torch(image, parameters(blur_sigma=sigma)) - expected).abs().max() * 255 < 1


def test_all_24_orders_are_respected() -> None:
    orders = torch.tensor(list(itertools.permutations(range(4))))
    image = pictures(1)[0]
    factors = dict(brightness=1.35, contrast=0.65, saturation=1.5, hue=0.12)
    expected = torch.stack([by_torchvision(image, parameters(order=o, **factors)) for o in orders])
    p = Photometric.stack([parameters(order=o, **factors) for o in orders])
    torch.testing.assert_close(
        apply_torch(image.expand(24, -1, -1, -1), p), expected, atol=5e-6, rtol=0
    )
    assert len(expected.flatten(1).unique(dim=0)) > 12, "the orders must differ for this image"
    for order, one in zip(orders, expected, strict=True):
        result = with_cv2(image, parameters(order=order, **factors))
        assert (
            result - one * 255
        ).abs().max() < 5  # rounding of one step, amplified by the factors of the next


def test_chain_equals_torchvisions_on_random_draws() -> None:
    rng = np.random.default_rng(3)
    images = pictures(60)
    drawn = [sample(STRONG, rng) for _ in images]
    expected = torch.stack([by_torchvision(i, p) for i, p in zip(images, drawn, strict=True)])
    result = apply_torch(images, Photometric.stack(drawn))
    # Solarising swaps t and 1 − t: a value within rounding of the threshold may end on either side,
    # one level apart.
    close = (result - expected).abs() < 2e-5
    assert close.float().mean() > 0.9999 and (result - expected).abs().max() < 1.01 / 255


def test_executors_agree_within_rounding() -> None:
    rng = np.random.default_rng(4)
    images = pictures(60, seed=1)
    drawn = [sample(STRONG, rng) for _ in images]
    batched = apply_torch(images, Photometric.stack(drawn)) * 255
    single = torch.stack([with_cv2(i, p) for i, p in zip(images, drawn, strict=True)]).float()
    difference = (batched - single).abs()
    assert difference.mean() < 0.5
    assert difference.flatten().kthvalue(int(0.999 * difference.numel())).values < 2.5
    assert difference.max() < 6


def test_batch_equals_one_by_one() -> None:
    rng = np.random.default_rng(5)
    images = pictures(20)
    drawn = [sample(STRONG, rng) for _ in images]
    single = torch.stack([with_torch(i, p) for i, p in zip(images, drawn, strict=True)])
    torch.testing.assert_close(
        apply_torch(images, Photometric.stack(drawn)), single, atol=1e-6, rtol=0
    )


def test_neutral_parameters_change_nothing() -> None:
    images = pictures(3)
    assert torch.equal(apply_torch(images, none((3,))), images / 255)
    assert torch.equal(with_cv2(images[0], none()), images[0])


def test_inputs_are_left_alone_and_floats_are_taken() -> None:
    rng = np.random.default_rng(6)
    images = pictures(8)
    p = Photometric.stack([sample(STRONG, rng) for _ in images])
    floats, before = images / 255, images.clone()
    kept = floats.clone()
    torch.testing.assert_close(apply_torch(floats, p), apply_torch(images, p), atol=1e-6, rtol=0)
    assert torch.equal(floats, kept) and torch.equal(images, before)
    array = np.ascontiguousarray(images[0].permute(1, 2, 0).numpy())
    copy = array.copy()
    apply_cv2(array, p.map(lambda field: field[0]))
    assert np.array_equal(array, copy)


def test_result_stays_in_range() -> None:
    p = parameters(
        brightness=3.0, contrast=3.0, saturation=4.0, hue=0.3, order=torch.tensor([1, 2, 0, 3])
    )
    result = with_torch(pictures(1)[0], p)
    assert result.min() >= 0 and result.max() <= 1 and result.isfinite().all()


def test_blur_of_images_smaller_than_the_kernel() -> None:
    image, p = pictures(1, 20, 20)[0, :, 13:16, 13:18], parameters(blur_sigma=3.0)
    result = with_torch(image, p)
    assert result.shape == image.shape and result.isfinite().all()
    assert (with_cv2(image, p) - result * 255).abs().max() < 1


def test_empty_batch() -> None:
    assert apply_torch(torch.empty(0, 3, 8, 8, dtype=torch.uint8), none((0,))).shape == (0, 3, 8, 8)


def test_errors_name_the_shape() -> None:
    with pytest.raises(ValueError, match=r"images of shape \(3, 8, 8\)"):
        apply_torch(pictures(1)[0, :, :8, :8], none((1,)))
    with pytest.raises(ValueError, match=r"photometric.order of shape \(3, 4\)"):
        apply_torch(pictures(2), none((3,)))
    with pytest.raises(ValueError, match="float32"):
        apply_cv2(np.zeros((4, 4, 3), np.float32), none())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu() -> None:
    rng = np.random.default_rng(7)
    images = pictures(40)
    p = Photometric.stack([sample(STRONG, rng) for _ in images])
    torch.testing.assert_close(
        apply_torch(images.cuda(), p).cpu(), apply_torch(images, p), atol=2e-5, rtol=0
    )
