"""What the network is shown in training and at test, and which pixels its scores are compared with.

Randomness is a pure function of (seed, epoch, image), or of (seed, iteration) for what a whole
batch shares.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.data.label_maps import IGNORE
from benchmarks.data.loading import resize_image, resize_mask
from benchmarks.data.pairs import RandomCrop, View
from benchmarks.frozen.linear_segmentation.photometric import distort, draw
from benchmarks.frozen.linear_segmentation.settings import Settings

_TRIES = 10  # of a crop without too large a class
_CROP, _COIN, _BATCH_COIN = 1, 2, 3  # streams of random numbers


def kept_ratio(
    size: tuple[int, int], short: int, long: int = 0, *, rounding: str = "half-up"
) -> tuple[int, int]:
    """Sides (H, W) of an image whose shorter side becomes ``short``, in pixels.

    Args:
        size: (H, W) of the image.
        short: the shorter side.
        long: the longer side is at most so long, so that the shorter one may be shorter; 0: any.
        rounding: ``half-up``, both sides ⌊side·factor + ½⌋; or ``down``, ⌊side·factor⌋.
    """
    above, below = short, min(size)  # the factor
    if long and long * below < above * max(size):
        above, below = long, max(size)
    if rounding == "down":
        sides = [side * above // below for side in size]
    else:
        sides = [(2 * side * above + below) // (2 * below) for side in size]
    return max(1, sides[0]), max(1, sides[1])


def resized(image: np.ndarray, size: tuple[int, int], settings: Settings) -> np.ndarray:
    """Image (h, w, 3) uint8 at ``size`` (H, W), by the filter of the settings."""
    if settings.antialias or image.shape[:2] == tuple(size):
        return resize_image(image, size)
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_LINEAR)


def short_sided(image: np.ndarray, settings: Settings, factor: float = 1.0) -> np.ndarray:
    """Image (h, w, 3) uint8 with its short side as the settings say, times ``factor``, rounded
    down.
    """
    short, long = int(settings.short_side * factor), int(settings.long_side * factor)
    size = kept_ratio(image.shape[:2], max(1, short), long, rounding=settings.rounding)
    return resized(image, size, settings)


def scored_view(image: np.ndarray, labels: np.ndarray, settings: Settings) -> View:
    """The image at its size of test (scale 1) and the label map that its prediction is compared
    with.

    Args:
        image: (h, w, 3) uint8. labels: (h, w) classes or ``IGNORE``.
    """
    if settings.test_view == "own":
        image = short_sided(image, settings)
    else:
        image, labels = _whole(image, labels, settings.test_view, settings)
    return image, scored_mask(labels, settings)


def train_view(
    image: np.ndarray,
    labels: np.ndarray,
    *,
    key: tuple[int, int],
    fill: np.ndarray,
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """One training view of ``settings.size``.

    Args:
        image: (h, w, 3) uint8. labels: (h, w) classes or ``IGNORE``.
        key: (epoch, image).
        fill: (3,) colour in [0, 1] of padding: the network's mean, so that it is 0 when
            normalised.

    Returns:
        The image, float32 in [0, 1] of ratio-crops and else uint8; its label map, not mirrored,
        at the size that it is trained at; whether the image's own coin says to mirror both.
    """
    mirrored = bool(stream(settings, _COIN, *key).random() < settings.flip)
    if settings.train_view == "ratio-crop":
        image, labels = _ratio_crop(image, labels, stream(settings, _CROP, *key), settings)
        image, labels = _padded(image, labels, fill, settings.size)
    elif settings.train_view == "area-crop":
        crop = RandomCrop(scale=settings.area, seed=settings.seed)
        top, left, height, width = crop.box(*labels.shape, key)
        part = slice(top, top + height), slice(left, left + width)
        image = resized(np.ascontiguousarray(image[part]), settings.size, settings)
        labels = resize_mask(labels[part], settings.size)
    else:
        image, labels = _whole(image, labels, settings.train_view, settings)
    return image, scored_mask(labels, settings), mirrored


def batch_coin(settings: Settings, iteration: int) -> bool:
    """Whether the coin of a whole batch says to mirror it."""
    return bool(stream(settings, _BATCH_COIN, iteration).random() < settings.flip)


def stream(settings: Settings, *key: int) -> np.random.Generator:
    """The random numbers of a key."""
    return np.random.default_rng([settings.seed, *key])


def scored_mask(labels: np.ndarray, settings: Settings) -> np.ndarray:
    """Label map at the side that is trained and scored at, where there is one: pixel i takes the
    label of pixel ⌊i·h/H⌋, as ``nearest`` of torch does.
    """
    if not settings.mask_side:
        return labels
    places = np.arange(settings.mask_side)
    rows, columns = (places * old // settings.mask_side for old in labels.shape)
    return labels[rows[:, None], columns[None, :]]


def crop_place(
    labels: np.ndarray, size: tuple[int, int], rng: np.random.Generator, *, largest_share: float
) -> tuple[int, int]:
    """(top, left) of a random crop of which no class takes more than a share.

    Args:
        labels: (h, w) classes or ``IGNORE``.
        size: (H, W) of the crop; along a side of the image that is not longer it starts at 0.
        rng: draws it.
        largest_share: of the labelled pixels; 1 takes the first draw. A draw without labelled
            pixels counts as one class. After ten draws that have too much, the eleventh is taken.
    """
    margins = [max(old - new, 0) for old, new in zip(labels.shape, size, strict=True)]
    for _ in range(_TRIES):
        top, left = (int(rng.integers(margin + 1)) for margin in margins)
        if largest_share >= 1:
            return top, left
        part = labels[top : top + size[0], left : left + size[1]]
        pixels = np.bincount(part[part != IGNORE])
        if pixels.size and pixels.max() <= largest_share * pixels.sum():
            return top, left
    return int(rng.integers(margins[0] + 1)), int(rng.integers(margins[1] + 1))


def stacked(views: list[View]) -> tuple[Tensor, Tensor]:
    """Views as tensors: images (B, 3, H, W) and label maps (B, h, w)."""
    images, labels = zip(*views, strict=True)
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return pixels, torch.from_numpy(np.stack(labels))


def _whole(image: np.ndarray, labels: np.ndarray, view: str, settings: Settings) -> View:
    """The squashed image, or its central part; label maps by the label under the pixel's centre."""
    if view == "squash":
        return resized(image, settings.size, settings), resize_mask(labels, settings.size)
    image = short_sided(image, settings)
    labels = resize_mask(labels, image.shape[:2])
    top, left = (
        round((old - new) / 2) for old, new in zip(labels.shape, settings.size, strict=True)
    )
    part = slice(top, top + settings.size[0]), slice(left, left + settings.size[1])
    return np.ascontiguousarray(image[part]), labels[part]


def _ratio_crop(
    image: np.ndarray, labels: np.ndarray, rng: np.random.Generator, settings: Settings
) -> View:
    """A crop of the image at a random size, float32 in [0, 1], its colours distorted."""
    image = short_sided(image, settings, rng.uniform(*settings.ratio))
    labels = resize_mask(labels, image.shape[:2])
    distortion = draw(rng, settings.hue)  # before the crop, which takes any number of draws
    top, left = crop_place(labels, settings.size, rng, largest_share=settings.largest_share)
    part = slice(top, top + settings.size[0]), slice(left, left + settings.size[1])
    image = image[part].astype(np.float32) / 255
    return distort(image, distortion) if settings.photometric else image, labels[part]


def _padded(image: np.ndarray, labels: np.ndarray, fill: np.ndarray, size: tuple[int, int]) -> View:
    """Views that are smaller than ``size``, grown right and below."""
    height, width = labels.shape
    if (height, width) == tuple(size):
        return image, labels
    canvas = np.empty((*size, 3), np.float32)
    canvas[:] = fill
    canvas[:height, :width] = image
    mask = np.full(size, IGNORE, labels.dtype)
    mask[:height, :width] = labels
    return canvas, mask
