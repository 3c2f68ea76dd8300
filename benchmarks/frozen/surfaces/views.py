"""What the network sees of an image: augmented crops in training, the whole image in the test.

A view follows from (seed, epoch, image) alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.data.loading import ordered_map, resize_image, resize_mask, sample_keys
from benchmarks.data.pairs import LabelledBatch, PairSplit, View
from benchmarks.frozen.surfaces.settings import Settings

#: Changes an image (h, w, 3) uint8 and its labels by a generator: what a task adds to its views.
Augment = Callable[[View, np.random.Generator], View]
#: Labels (h, w, …) of a mirrored image.
Mirror = Callable[[np.ndarray], np.ndarray]
_STREAM = 5  # of the random numbers: views; others are taken by other draws of a run


def fitted(split: PairSplit, index: int, settings: Settings) -> View:
    """Reads an image (H, W, 3) uint8 and its labels at ``settings.size``.

    Raises:
        ValueError: not readable, or a size that ``settings.sizing`` does not bring to it; names the
            file.
    """
    image, labels = split.load(index)
    size, shape = settings.size, image.shape[:2]
    if shape == size:
        return image, labels
    if settings.sizing == "resize":
        return resize_image(image, size), resize_mask(labels, size)
    top, left = shape[0] - size[0], (shape[1] - size[1]) // 2
    if settings.sizing == "refuse" or min(top, left) < 0:
        cure = "sizing=resize, centre or bottom brings images to size"
        if settings.sizing != "refuse":
            cure = f"sizing={settings.sizing} cuts size out of larger images only"
        raise ValueError(
            f"{split.name(index)} has {shape[0]} × {shape[1]} pixels, but size={size}; {cure}"
        )
    top = top // 2 if settings.sizing == "centre" else top
    window = slice(top, top + size[0]), slice(left, left + size[1])
    return np.ascontiguousarray(image[window]), labels[window]


def scored_batches(split: PairSplit, settings: Settings) -> Iterator[LabelledBatch]:
    """Yields the images of a split in order, whole, as they are scored."""

    def read(index: int) -> View:
        return fitted(split, index, settings)

    window: list[View] = []
    first = 0
    for number, view in enumerate(ordered_map(read, range(len(split)), 2 * settings.batch_size)):
        window.append(view)
        if len(window) == settings.batch_size or number + 1 == len(split):
            images, labels = _stacked(window)
            yield LabelledBatch(images, labels, list(range(first, number + 1)))
            first, window = number + 1, []


def train_batches(
    split: PairSplit, settings: Settings, *, mirror: Mirror, augment: Augment | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields images (B, 3, h, w) uint8 and labels (B, h, w, …), one batch per step, each epoch a
    permutation of the split.

    Args:
        split: The train part.
        settings: Sizes, augmentation, seed.
        mirror: Labels of a mirrored image.
        augment: Is applied to the frame before it is mirrored and cropped; None: nothing.
    """

    def view(key: tuple[int, int]) -> View:
        rng = np.random.default_rng([settings.seed, _STREAM, *key])
        return _train_view(split, key[1], settings, rng=rng, mirror=mirror, augment=augment)

    window: list[View] = []
    needed = settings.steps * settings.images_per_step
    keys = islice(sample_keys(len(split), settings.seed), needed)
    for item in ordered_map(view, keys, 2 * settings.images_per_step):
        window.append(item)
        if len(window) == settings.images_per_step:
            yield _stacked(window)
            window = []


def _train_view(
    split: PairSplit,
    index: int,
    settings: Settings,
    *,
    rng: np.random.Generator,
    mirror: Mirror,
    augment: Augment | None,
) -> View:
    image, labels = fitted(split, index, settings)
    if settings.train_frame:
        top, left, bottom, right = settings.train_frame
        image, labels = image[top:bottom, left:right], labels[top:bottom, left:right]
    if augment is not None:
        image, labels = augment((image, labels), rng)
    if rng.random() < settings.flip:
        image, labels = image[:, ::-1], mirror(labels[:, ::-1])
    if settings.crop_size:
        height, width = settings.crop_size
        top = int(rng.integers(image.shape[0] - height + 1))
        left = int(rng.integers(image.shape[1] - width + 1))
        window = slice(top, top + height), slice(left, left + width)
        image, labels = image[window], labels[window]
    if rng.random() < settings.colour:
        image = recoloured(image, settings, rng)
    return image, labels


def recoloured(image: np.ndarray, settings: Settings, rng: np.random.Generator) -> np.ndarray:
    """Changes gamma, brightness and tint of an image (h, w, 3) uint8, values in [0, 1] between."""
    values = (np.arange(256) / 255) ** rng.uniform(*settings.gamma)  # of each grey level
    factors = rng.uniform(*settings.brightness) * rng.uniform(*settings.tint, size=3)
    table = (np.outer(values, factors).clip(0, 1) * 255).round().astype(np.uint8)  # (256, 3)
    return table[image, np.arange(3)]


def turned(view: View, degrees: float) -> View:
    """Turns an image (h, w, 3) uint8, bilinearly, and its labels (h, w) float32, nearest, about the
    centre; what comes in from outside is black and not known (0).
    """
    image, labels = view
    picture = Image.fromarray(np.ascontiguousarray(image))
    known = Image.fromarray(np.ascontiguousarray(labels))
    return (
        np.asarray(picture.rotate(degrees, Image.Resampling.BILINEAR)),
        np.asarray(known.rotate(degrees, Image.Resampling.NEAREST)),
    )


def _stacked(views: list[View]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, h, w) and labels (B, h, w, …)."""
    images, labels = zip(*views, strict=True)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.from_numpy(
        np.stack(labels)
    )
